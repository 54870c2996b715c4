"""The graphs that come with Auricle, and which file a name on the command line stands for."""

from __future__ import annotations

from pathlib import Path

from auricle.errors import ConfigError, did_you_mean

SHIPPED = Path(__file__).resolve().parents[1] / "graphs"
"""Folder of the graphs that come with Auricle."""

SUFFIXES = (".yaml", ".yml")


def shipped_graphs() -> list[str]:
    """Names of the graphs that come with Auricle."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def find_graph(name_or_path: str) -> Path:
    """The graph file that was asked for.

    Args:
        name_or_path: Path of a file, or else the name of a graph that comes with Auricle. A file
            wins; what has a folder or the ending of a file is always a path.

    Raises:
        ConfigError: An unknown name.
    """
    path = Path(name_or_path)
    if path.is_file() or path.suffix in SUFFIXES or path.name != name_or_path:
        return path
    known = shipped_graphs()
    if name_or_path not in known:
        hint = did_you_mean(name_or_path, known)
        raise ConfigError(
            f"no graph {name_or_path!r}{hint}; graphs that come with Auricle are: "
            f"{', '.join(known)}; any other is named by its file"
        )
    return SHIPPED / f"{name_or_path}.yaml"
