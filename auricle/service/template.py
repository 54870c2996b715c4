"""The template of streams: a graph file, as changed by commands since."""

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
from auricle.service.restart import RestartPolicy, policy_of
from auricle.service.stream_list import StreamList, StreamSpec, list_streams


class StreamTemplate:
    """Builds the graphs of streams from a graph file, as changed by commands since.

    Commands for later streams are given to the nodes of a graph that is built but never run: the
    same checks apply, and the settings of these nodes become the parameters of later streams.
    Nothing here is locked; a service uses it only under the lock of its streams.

    Args:
        file: Graph file to build from.
        folder: Folder that paths in the file are relative to.

    Attributes:
        nodes: Nodes that stand for those of later streams; empty if the graph cannot be built
            without the parameters in which its streams differ.

    Raises:
        AuricleError: The graph cannot be built, and has no streams that could complete it.
    """

    def __init__(self, file: GraphFile, folder: Path) -> None:
        self._file = file
        # Absolute, so that resolving the paths in the settings of nodes again changes nothing.
        self._folder = folder.absolute()
        self.nodes: list[Node] = []
        try:
            self.nodes = build_graph(file, self._folder).order
        except AuricleError:
            if file.streams is None:
                raise

    @property
    def has_list_file(self) -> bool:
        """Whether the streams are listed in a text file, which can be read again."""
        return isinstance(self._file.streams, StreamList)

    @property
    def specs(self) -> list[StreamSpec | None]:
        """The streams to start with; None stands for the graph with its own source.

        Raises:
            ConfigError: The list of streams is invalid.
        """
        if self._file.streams is None:
            return [None]
        return list(list_streams(self._file.streams, self._folder))

    def build(
        self, spec: StreamSpec | None, settings: Mapping[str, Mapping[str, Any]] | None = None
    ) -> Graph:
        """Build the graph of a stream.

        Args:
            spec: Specification of the stream; None for the graph with its own source.
            settings: Parameters by node, which override those of the file and the stream.

        Raises:
            ConfigError: The source or a parameter is invalid.
        """
        file = self._file if spec is None else for_stream(self._file, spec, self._folder)
        return build_graph(with_settings(file, settings or {}), self._folder)

    def policy(self, spec: StreamSpec | None) -> RestartPolicy:
        """The policy for starting a stream again: its own, or else that of the graph."""
        own = spec.restart if spec is not None else None
        return policy_of(self._file.restart if own is None else own)

    def check_command(self, graph: Graph) -> None:
        """Refuse a graph, built for a command, whose source the file does not allow.

        Raises:
            ConfigError: The source is not allowed.
        """
        if self._file.allow is not None:
            self._file.allow.check(graph, self._folder)

    def keep_settings(self, nodes: Iterable[Node]) -> None:
        """Make the current settings of some of `nodes` the parameters of later streams."""
        self._file = with_settings(self._file, {node.name: node.settings() for node in nodes})
