"""A graph at work, for one stream or many: nodes on worker threads, sockets open, until all has
ended.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import ValidationError

from auricle import __version__
from auricle.engine.graph import Graph
from auricle.engine.node import Node, Source, describe
from auricle.engine.overload import Ladder
from auricle.engine.run import Run, State
from auricle.engine.scheduler import LiveScheduler, usable_cores
from auricle.errors import ConfigError, ModelError
from auricle.models.heads.head import load_head
from auricle.models.registry import find, info
from auricle.nodes.backbone import Backbone
from auricle.nodes.heads import Heads
from auricle.nodes.inputs.base import Input
from auricle.service.building import build_graph, find_class
from auricle.service.graph_file import GraphFile, NodeSpec
from auricle.service.stream_list import StreamSpec, list_streams
from auricle.service.template import for_stream
from auricle.wire.server import EngineStatus, Server


class Service:
    """Runs a graph, for one stream or for many, and serves its sockets.

    Streams come and go while it runs; sessions of models are shared between them.

    Args:
        file: The graph file.
        folder: What paths in it are relative to.
        ended: Called, on a thread of the service, with each run that is over.

    Raises:
        AuricleError, ModelError: A graph that cannot be built.

    Example:
        >>> file = load_graph(Path("graphs/demo.yaml"))             # doctest: +SKIP
        >>> with Service(file, Path("graphs")) as service:          # doctest: +SKIP
        ...     run = service.wait()
    """

    def __init__(
        self, file: GraphFile, folder: Path, ended: Callable[[Run], None] = lambda run: None
    ) -> None:
        self._file, self._folder = file, folder
        self._ended = ended
        self._lock = threading.RLock()
        self._leaving: set[Run] = set()  # to be forgotten when they are over
        self.server = Server(file.wire, __version__)
        cores = 1 if file.streams is None else usable_cores()
        self._scheduler = LiveScheduler(
            workers=file.workers or cores, ended=self._end, outlet=self.server
        )
        if file.streams is None:
            self._scheduler.add(self._build(file))
        for spec in list_streams(file.streams, folder):
            self._scheduler.add(self._build(for_stream(file, spec, folder)))
        self.server.status = self._status
        self.server.handle("list", self._summary)
        self.server.handle("statistics", self.statistics)
        self.server.handle("stop", self._stop)
        self.server.handle("add-stream", self.add_stream)
        self.server.handle("remove-stream", self.remove_stream)
        self.server.handle("add-head", self._add_head)
        self.server.handle("remove-head", self._remove_head)
        self.server.handle("patchout", self.set_patchout)

    @property
    def ladder(self) -> Ladder:
        """What the streams leave out, or do more cheaply, when there is not enough time."""
        return self._scheduler.ladder

    @property
    def runs(self) -> list[Run]:
        """The run of every stream."""
        return self._scheduler.runs

    def start(self) -> None:
        """Open the sockets, then the nodes. Raises WireError for an address that cannot be had."""
        self.server.start()
        self._scheduler.start()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for all streams to end; returns whether they have. Without streams there is more to
        come.
        """
        return self._scheduler.wait(timeout_s)

    def stop(self) -> None:
        """Stop all streams, send what is left, close the sockets."""
        self._scheduler.close()
        self.server.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def opening(self) -> bool:
        """Whether any stream is still loading its models and warming them up."""
        return any(run.state is State.OPENING for run in self.runs)

    @property
    def heard(self) -> bool:
        """Whether any source has given anything yet."""
        return any(
            port.stream.written > port.stream.start
            for run in self.runs
            for node in run.graph.order
            if isinstance(node, Source)
            for port in node.outputs.values()
        )

    def add_stream(self, stream: str, input: str, values: Mapping[str, Any] | None = None) -> str:
        """Run the graph for another stream, or again for one that has ended. From any thread.

        Args:
            stream: Its name.
            input: What it listens to; see `auricle.nodes.inputs.choice.input_for`.
            values: Parameters that differ from the graph's, by `node.param`.

        Returns:
            Its name.

        Raises:
            AuricleError, ModelError: A stream of this name is running, or something cannot be used.
        """
        try:
            spec = StreamSpec(name=stream, input=input, values=dict(values or {}))
        except ValidationError as error:
            raise ConfigError(describe(error)) from None
        with self._lock:
            before = next((run for run in self.runs if run.graph.name == stream), None)
            if before in self._leaving:
                raise ConfigError(f"stream {stream!r} is still being closed; try again in a moment")
            if before is not None and not before.over:
                raise ConfigError(f"there is a stream {stream!r} already")
            graph = self._build(for_stream(self._file, spec, self._folder))
            if before is not None:
                self._scheduler.remove(before)
            self._scheduler.add(graph)
        return stream

    def remove_stream(self, stream: str) -> str:
        """Stop a stream, and forget it once it has. From any thread.

        Returns:
            Its name.

        Raises:
            ConfigError: There is no such stream.
        """
        (run,) = self._chosen(stream)
        with self._lock:
            if run.over:
                self._forget(run)
            else:
                self._leaving.add(run)
                self._scheduler.stop(stream)
        return stream

    def _build(self, file: GraphFile) -> Graph:
        return build_graph(file, self._folder)

    def _end(self, run: Run) -> None:
        with self._lock:
            if run in self._leaving:
                self._leaving.discard(run)
                self._forget(run)
        self._ended(run)

    def _forget(self, run: Run) -> None:
        self._scheduler.remove(run)
        self.server.forget(run.graph.name)

    def statistics(self, stream: str | None = None) -> dict[str, Any]:
        """What every node counted, and latencies by stage, by stream; of one stream if named.

        Raises:
            ConfigError: There is no such stream.
        """
        return {
            run.graph.name: {
                **run.statistics(),
                "latency": self.server.latencies.summary(run.graph.name),
            }
            for run in self._chosen(stream)
        }

    def _status(self) -> EngineStatus:
        """For every heartbeat."""
        self.ladder.look(time.monotonic())  # nobody else does while no stream has anything to serve
        states = Counter((run.ending or run.state).value for run in self.runs)
        return EngineStatus(self.ladder.rung, states)

    def _summary(self) -> dict[str, Any]:
        """How each stream is, in a few words."""
        return {run.graph.name: _summary_of(run) for run in self.runs}

    def _chosen(self, stream: str | None) -> list[Run]:
        runs = [run for run in self.runs if stream in (None, run.graph.name)]
        if not runs and stream is not None:
            raise ConfigError(
                f"no stream {stream!r}; streams are: {_few([r.graph.name for r in self.runs])}"
            )
        return runs

    def _stop(self, stream: str | None = None) -> list[str]:
        runs = self._chosen(stream)
        self._scheduler.stop(stream)
        return [run.graph.name for run in runs]

    def _add_head(self, head: str, stream: str | None = None) -> list[str]:
        nodes = self._nodes_with_heads(stream)
        name = load_head(find(head)).card.name
        changes = [node.add_head(head) for node in nodes]  # before any is made
        for change in changes:
            change()
        if stream is None:
            self._change_params(
                {
                    spec.id: {**spec.params, "heads": [*spec.params.get("heads", ()), head]}
                    for spec in self._specs(Heads)
                }
            )
        return [name] * max(1, len(nodes))

    def _remove_head(self, head: str, stream: str | None = None) -> list[str]:
        nodes = self._nodes_with_heads(stream)
        specs = self._specs(Heads)
        later = {_name_of(each) for spec in specs for each in spec.params.get("heads", ())}
        for_later = stream is None and head in later
        having = [node for node in nodes if head in node.names()]
        if not having and not for_later:
            known = sorted({name for node in nodes for name in node.names()} | later)
            raise ConfigError(f"no head {head!r}; heads are: {', '.join(known) or 'none'}")
        changes = [node.remove_head(head) for node in having]
        for change in changes:
            change()
        if for_later:
            self._change_params(
                {spec.id: {**spec.params, "heads": _without(spec.params, head)} for spec in specs}
            )
        return [head]

    def set_patchout(
        self,
        patchout: str | dict[str, Any] | None = None,
        adaptive: bool | None = None,
        stream: str | None = None,
    ) -> dict[str, dict[str, list[str]]]:
        """Change the patches that transformers look at, from the next segment on. From any thread.

        Args:
            patchout: A level of the card, or `keep_every` and `drop_rows`; left as it is, if None.
            adaptive: Whether to go to cheaper levels while there is not enough time; likewise.
            stream: Of one stream; of all, and those that come later, if None.

        Returns:
            By stream and node the level in use while there is time, and the cheaper ones that may
            be used.

        Raises:
            ConfigError: Something that cannot be used; nothing is changed.
        """
        asked = {"patchout": patchout, "adaptive": adaptive}
        given = {name: value for name, value in asked.items() if value is not None}
        nodes = [
            (run.graph.name, node)
            for run in self._chosen(stream)
            for node in run.graph.order
            if isinstance(node, Backbone) and node.card.patch_grid is not None
        ]
        later = {
            spec.id: {**spec.params, **given}
            for spec in self._specs(Backbone)
            if stream is None and _has_patches(spec)
        }
        if not nodes and not later:
            raise ConfigError("no model whose patches can be left out")
        changes = [node.change_patchout(patchout, adaptive) for _, node in nodes]
        for name, params in later.items():
            Backbone(name, **params)  # refuses what its card does not have
        result: dict[str, dict[str, list[str]]] = {}
        for (name, node), change in zip(nodes, changes, strict=True):
            result.setdefault(name, {})[node.name] = change()
        self._change_params(later)
        return result

    def _specs(self, kind: type[Node]) -> list[NodeSpec]:
        """The graph's nodes of a class."""
        return [spec for spec in self._file.nodes if find_class(spec.class_, node=spec.id) is kind]

    def _change_params(self, changed: Mapping[str, dict[str, Any]]) -> None:
        """Let streams that are added later have these parameters, by node."""
        nodes = [
            spec.model_copy(update={"params": changed.get(spec.id, spec.params)})
            for spec in self._file.nodes
        ]
        self._file = self._file.model_copy(update={"nodes": nodes})

    def _nodes_with_heads(self, stream: str | None) -> list[Heads]:
        runs = self._chosen(stream)
        found = [node for run in runs for node in run.graph.order if isinstance(node, Heads)]
        if not self._specs(Heads):
            raise ConfigError("no node of class Heads in the graph")
        return found


def _has_patches(spec: NodeSpec) -> bool:
    """Whether the model of a backbone is known, and one whose patches can be left out."""
    try:
        return info(spec.params["model"]).patch_grid is not None
    except (KeyError, ModelError):  # its streams say which
        return False


def _without(params: Mapping[str, Any], head: str) -> list[str]:
    return [each for each in params.get("heads", ()) if _name_of(each) != head]


def _name_of(head: str) -> str:
    try:
        return info(head).name
    except ModelError:  # its folder is gone; heads are called like it, as a rule
        return Path(head).name


def warnings_of(run: Run) -> list[str]:
    """What was wrong with a stream's input, in words, where it was no error."""
    return [text for node in run.graph.order if isinstance(node, Input) for text in node.warnings]


def _few(names: list[str]) -> str:
    """Names for a message; not hundreds."""
    shown = ", ".join(names[:10]) or "none"
    return f"{shown} and {len(names) - 10} more" if len(names) > 10 else shown


def _summary_of(run: Run) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    for node in run.graph.order:
        counts.update(dict(node.counts))
    source = next(node for node in run.graph.order if isinstance(node, Source))
    heard = [port.stream for port in source.outputs.values()]
    return {
        "state": (run.ending or run.state).value,
        "error": str(run.error) if run.error else None,
        "seconds": float((heard[0].written - heard[0].start) / heard[0].token_type.rate)
        if heard
        else 0.0,
        "counts": dict(counts),
        "drift_ppm": source.clock.drift_ppm,
    }
