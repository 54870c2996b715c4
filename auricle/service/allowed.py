"""The sources that commands may have the engine open."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from auricle.engine.graph import Graph
from auricle.engine.node import Source
from auricle.errors import ConfigError
from auricle.service.form import Form


class Allowed(Form):
    """The sources that a stream added by a command may have; whatever is left out is refused.

    The streams of the graph file itself are those of its owner, and not looked at.
    """

    schemes: tuple[str, ...] = Field(
        (),
        description="Schemes of URLs, such as https, and mic, zmq or stdin; not file, which is "
        "allowed by folder.",
    )
    folders: tuple[Path, ...] = Field(
        (),
        description="Folders whose files, at any depth, may be played; relative to the graph file.",
    )

    def check(self, graph: Graph, folder: Path) -> None:
        """Refuse a graph with a source that is not allowed.

        Args:
            graph: Graph of the stream, with all parameters in effect.
            folder: Folder that `folders` are relative to.

        Raises:
            ConfigError: A source is not allowed.
        """
        for node in graph.order:
            if isinstance(node, Source):
                self._check_source(node, folder)

    def _check_source(self, node: Source, folder: Path) -> None:
        scheme, path = node.origin
        if path is None:
            if scheme and scheme in self.schemes:
                return
            what = f"sources with the scheme {scheme!r}" if scheme else "sources of this kind"
            known = ", ".join(self.schemes) or "none"
            raise ConfigError(
                f"{what} may not be added by a command; the graph allows the schemes: {known}",
                node=node.name,
            )
        file = path.resolve()  # of links and `..`, which could lead out of a folder
        if not any(file.is_relative_to((folder / each).resolve()) for each in self.folders):
            known = ", ".join(map(str, self.folders)) or "none"
            raise ConfigError(
                f"{path}: may not be added by a command; the graph allows files in: {known}",
                node=node.name,
            )
