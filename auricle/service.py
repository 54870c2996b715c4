"""A graph at work: its nodes on worker threads, its sockets open, until it ends or is told to stop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from auricle import __version__
from engine.config import GraphFile, build, find_class, load, with_values
from engine.errors import ConfigError
from engine.graph import Graph
from engine.node import Source
from engine.run import Run
from engine.scheduler import LiveScheduler
from engine.server import Server
from nodes import CLASSES
from nodes.heads import Heads
from nodes.input import Input
from nodes.inputs import input_for
from nodes.publisher import Publisher


def load_graph(path: Path, values: Mapping[str, Any] | None = None, source: str | None = None) -> GraphFile:
    """Read a graph file and change it as a command line asks.

    Args:
        path: The file.
        values: Parameters to change, by `node.param`.
        source: What to listen to instead of the file's own source; see `nodes.inputs.input_for`.

    Raises:
        ConfigError: A file or a change that cannot be used.
    """
    file = load(path)
    if source is not None:
        file = _with_input(file, source)
    return with_values(file, values or {})


def build_graph(file: GraphFile, folder: Path) -> Graph:
    """The graph of a file; paths in it are relative to `folder`."""
    return build(file, CLASSES, folder)


def _with_input(file: GraphFile, source: str) -> GraphFile:
    """The same graph with another source in the place of its only one."""
    sources = [spec for spec in file.nodes if issubclass(find_class(spec.class_, CLASSES, spec.id), Source)]
    if len(sources) != 1:
        raise ConfigError(f"--input replaces the source of a graph that has one; this has {len(sources)}")
    class_name, params = input_for(source)
    kept = {name: value for name, value in sources[0].params.items() if name == "sample_rate"}
    changed = sources[0].model_copy(update={"class_": class_name, "params": {**kept, **params}})
    nodes = [changed if spec is sources[0] else spec for spec in file.nodes]
    return file.model_copy(update={"nodes": nodes})


class Service:
    """Runs a graph and serves its sockets.

    Args:
        file: The graph file.
        folder: What paths in it are relative to.

    Raises:
        AuricleError, ModelError: A graph that cannot be built.

    Example:
        >>> file = load_graph(Path("graphs/demo.yaml"))             # doctest: +SKIP
        >>> with Service(file, Path("graphs")) as service:          # doctest: +SKIP
        ...     run = service.wait()
    """

    def __init__(self, file: GraphFile, folder: Path) -> None:
        self.graph = build_graph(file, folder)
        self.server = Server(file.wire, __version__)
        self._scheduler = LiveScheduler([self.graph])
        for node in self.graph.order:
            if isinstance(node, Publisher):
                node.outlet, node.stream = self.server, self.graph.name
        self.server.status = self._summary
        self.server.handle("list", self._summary)
        self.server.handle("statistics", self.statistics)
        self.server.handle("stop", self._stop)
        self.server.handle("add-head", self._add_head)
        self.server.handle("remove-head", self._remove_head)

    @property
    def run(self) -> Run:
        """The run of the graph."""
        return self._scheduler.runs[0]

    def start(self) -> None:
        """Open the sockets, then the nodes. Raises WireError for an address that cannot be had."""
        self.server.start()
        self._scheduler.start()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the graph to end; returns whether it has."""
        return self._scheduler.wait(timeout_s)

    def stop(self) -> None:
        """Stop the graph, send what is left, close the sockets."""
        self._scheduler.stop()
        self._scheduler.wait()
        self.server.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def heard(self) -> bool:
        """Whether the source has given anything yet."""
        streams = [
            port.stream
            for node in self.graph.order
            if isinstance(node, Source)
            for port in node.outputs.values()
        ]
        return any(stream.written > stream.start for stream in streams)

    @property
    def warnings(self) -> list[str]:
        """What was wrong with the input, in words, where it was no error."""
        return [text for node in self.graph.order if isinstance(node, Input) for text in node.warnings]

    def statistics(self, stream: str | None = None) -> dict[str, Any]:
        """What every node counted, by stream; of one stream if named.

        Raises:
            ConfigError: There is no such stream.
        """
        return {run.graph.name: run.statistics() for run in self._chosen(stream)}

    def _summary(self) -> dict[str, Any]:
        """How each stream is, in a few words; for every heartbeat."""
        return {run.graph.name: _summary_of(run) for run in self._scheduler.runs}

    def _chosen(self, stream: str | None) -> list[Run]:
        runs = [run for run in self._scheduler.runs if stream in (None, run.graph.name)]
        if not runs:
            names = ", ".join(run.graph.name for run in self._scheduler.runs)
            raise ConfigError(f"no stream {stream!r}; streams are: {names}")
        return runs

    def _stop(self, stream: str | None = None) -> list[str]:
        runs = self._chosen(stream)
        self._scheduler.stop(stream)
        return [run.graph.name for run in runs]

    def _add_head(self, head: str, stream: str | None = None) -> list[str]:
        return [node.add_head(head) for node in self._nodes_with_heads(stream)]

    def _remove_head(self, head: str, stream: str | None = None) -> list[str]:
        for node in self._nodes_with_heads(stream):
            node.remove_head(head)
        return [head]

    def _nodes_with_heads(self, stream: str | None) -> list[Heads]:
        runs = self._chosen(stream)
        found = [node for run in runs for node in run.graph.order if isinstance(node, Heads)]
        if not found:
            raise ConfigError("no node of class Heads in the graph")
        return found


def _summary_of(run: Run) -> dict[str, Any]:
    nodes = run.graph.order
    counts: Counter[str] = sum((Counter(dict(node.counts)) for node in nodes), Counter())
    source = next(node for node in nodes if isinstance(node, Source))
    heard = [port.stream for port in source.outputs.values()]
    return {
        "state": run.state.value,
        "error": str(run.error) if run.error else None,
        "seconds": float((heard[0].written - heard[0].start) / heard[0].token_type.rate) if heard else 0.0,
        "counts": dict(counts),
        "drift_ppm": source.clock.drift_ppm,
    }
