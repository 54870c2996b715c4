"""What streams are made from: a graph file, as commands have changed it since."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from auricle.engine.graph import Graph
from auricle.engine.node import Node
from auricle.errors import AuricleError
from auricle.service.building import build_graph
from auricle.service.graph_file import GraphFile
from auricle.service.overrides import for_stream, with_settings
from auricle.service.stream_list import StreamSpec, list_streams


class StreamTemplate:
    """What a graph file says of each of its streams, as commands have changed it since.

    Commands given to streams to come are given to the nodes of a graph that is built and never run:
    so the same checks hold, and the settings of these nodes are the parameters of later streams.
    Not thread-safe; a service uses it under the lock of its streams.

    Args:
        file: The graph file.
        folder: Folder that paths in it are relative to.

    Attributes:
        nodes: The nodes that stand for those of streams to come; none if the graph cannot be built
            without what its streams differ in.
    """

    def __init__(self, file: GraphFile, folder: Path) -> None:
        self._file = file
        # The settings of nodes name what they found with its whole path, or by this folder's.
        self._folder = folder.absolute()
        self.nodes: list[Node] = []
        try:
            self.nodes = build_graph(file, self._folder).order
        except AuricleError:
            if file.streams is None:
                raise

    @property
    def specs(self) -> list[StreamSpec | None]:
        """The streams to begin with; None is the graph with its own source.

        Raises:
            ConfigError: As `list_streams`.
        """
        if self._file.streams is None:
            return [None]
        return list(list_streams(self._file.streams, self._folder))

    def build(
        self, spec: StreamSpec | None, settings: Mapping[str, Mapping[str, Any]] | None = None
    ) -> Graph:
        """Make the graph of a stream.

        Args:
            spec: The stream; None for the graph with its own source.
            settings: Parameters, by node, that come before those of file and stream.

        Raises:
            ConfigError: A source or a parameter that cannot be used.
            ModelError: A model that is not there or damaged.
        """
        file = self._file if spec is None else for_stream(self._file, spec, self._folder)
        return build_graph(with_settings(file, settings or {}), self._folder)

    def keep_settings(self, nodes: Iterable[Node]) -> None:
        """Let streams to come have the settings that some of `nodes` have now."""
        self._file = with_settings(self._file, {node.name: node.settings() for node in nodes})
