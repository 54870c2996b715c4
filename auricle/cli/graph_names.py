"""Finding graph files by the names that the command line takes."""

from __future__ import annotations

from pathlib import Path

from auricle.errors import ConfigError, did_you_mean

SHIPPED = Path(__file__).resolve().parents[1] / "graphs"
"""Folder of the graphs that come with Auricle."""

SUFFIXES = (".yaml", ".yml")
"""Suffixes of graph files."""


def shipped_graphs() -> list[str]:
    """Names of the graphs that come with Auricle."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def find_graph(name_or_path: str) -> Path:
    """Find a graph file.

    Args:
        name_or_path: Path of a file, or the name of a graph that comes with Auricle. An existing
            file wins; anything with a folder or the suffix of a graph file is a path.

    Returns:
        The path of the file.

    Raises:
        ConfigError: No graph has this name, or there is no such file.
    """
    path = Path(name_or_path)
    if path.is_file() or path.suffix in SUFFIXES or path.name != name_or_path:
        if not path.exists():
            raise ConfigError(f"{path}: No such file or directory{_near(path)}")
        return path
    known = shipped_graphs()
    if name_or_path not in known:
        hint = did_you_mean(name_or_path, known)
        raise ConfigError(
            f"no graph {name_or_path!r}{hint}; graphs that come with Auricle are: "
            f"{', '.join(known)}; for any other, give its file"
        )
    return SHIPPED / f"{name_or_path}.yaml"


def _near(path: Path) -> str:
    """A suggestion in place of a file that is missing: a graph by its name, or a file beside it."""
    if path.name == str(path) and path.stem in shipped_graphs():
        return f" (did you mean {path.stem}, which comes with Auricle?)"
    beside = [each.stem for each in path.parent.glob("*.yaml")]  # all endings are alike
    return did_you_mean(path.stem, beside).replace("?)", ".yaml?)")
