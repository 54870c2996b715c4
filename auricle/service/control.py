"""The commands of the control socket: those of the service, and those of the nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from auricle.engine.command import Change
from auricle.engine.node import Node
from auricle.errors import ConfigError, NothingToChangeError, describe_invalid
from auricle.service.description import describe_graph
from auricle.service.stations import Stations
from auricle.service.stream_list import StreamSpec
from auricle.service.streams import Streams
from auricle.service.template import StreamTemplate
from auricle.wire.commands import Command
from auricle.wire.server import Server

STREAM = {
    "about": "Stream whose nodes get the command; all streams, later ones included, by default.",
    "type": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    "required": False,
    "default": None,
}
"""Description of the argument `stream`, which every command of a node has beside its own."""


class Control:
    """Answers the control socket of a server.

    A command of nodes takes effect in all nodes that it is for or in none: first every node checks
    it, then every change is made. Without a stream, it is for all streams and for later ones.

    The server calls the methods on its control thread; a program may call them on any other. They
    change streams and the template only under the lock of the streams, so a command never meets a
    stream that is half added.

    Args:
        template: Template of later streams.
        streams: The streams.
        stations: The streams that come from files.
        server: Server whose control socket is answered.
    """

    def __init__(
        self, template: StreamTemplate, streams: Streams, stations: Stations, server: Server
    ) -> None:
        self._template = template
        self._streams = streams
        self._stations = stations
        self._server = server
        own: dict[str, Callable[..., Any]] = {
            "list": self.list_streams,
            "statistics": self.statistics,
            "describe": self.describe,
            "stop": self.stop,
            "add-stream": self.add_stream,
            "remove-stream": self.remove_stream,
            "reload": self.reload,
        }
        for name, function in own.items():
            server.handle(name, function)
        self._own = frozenset(own)
        self._offer(template.nodes)

    def list_streams(self) -> dict[str, Any]:
        """Report the state of each stream, the audio it has heard in seconds, and its losses."""
        return {stream.name: stream.summary() for stream in self._streams.all}

    def statistics(self, stream: str | None = None) -> dict[str, Any]:
        """Report the counts of every node and the latencies by stage in seconds, by stream.

        Args:
            stream: Name of the only stream to report.
        """
        return {
            each.name: {
                **each.run.statistics(),
                "state": each.state,
                "latency": self._server.latencies.summary(each.name),
            }
            for each in self._streams.choose(stream)
        }

    def describe(self, stream: str | None = None) -> dict[str, Any]:
        """Describe labels, models, segments (in frames and seconds), settings and commands.

        Args:
            stream: Name of the only stream to describe; with hundreds of streams, the answer for
                all would be too long.

        Returns:
            `commands` by name, and `streams` by name, each with its `state` and the result of
            `describe_graph`.
        """
        chosen = self._streams.choose(stream)
        return {
            "commands": self._describe_commands(),
            "streams": {
                each.name: {"state": each.state, **describe_graph(each.run.graph)}
                for each in chosen
            },
        }

    def stop(self, stream: str | None = None) -> list[str]:
        """Stop streams; they stay in the list.

        Args:
            stream: Name of the only stream to stop.

        Returns:
            The names of the streams that were asked to stop.
        """
        return self._streams.stop(stream)

    def add_stream(self, stream: str, input: str, values: dict[str, Any] | None = None) -> str:
        """Run the graph for another stream, or again for one that has ended.

        Args:
            stream: Name of the stream.
            input: Source to listen to: a file, a URL, mic:NAME or zmq:ADDRESS.
            values: Parameters that differ from the graph's, by `node.param`.

        Returns:
            The name of the stream.

        Raises:
            ConfigError: A stream of this name is running, or the name, the source or a parameter is
                invalid.
        """
        try:
            spec = StreamSpec(name=stream, input=input, values=dict(values or {}))
        except ValidationError as error:
            raise ConfigError(describe_invalid(error)) from None
        self._offer(self._streams.add(spec, by_command=True).run.graph.order)
        self._stations.keep(spec)
        return stream

    def remove_stream(self, stream: str) -> str:
        """Stop a stream, and remove it from the list when it has ended.

        Args:
            stream: Name of the stream.

        Returns:
            The name of the stream.

        Raises:
            ConfigError: No stream has this name.
        """
        removed = self._streams.remove(stream)
        self._stations.forget(stream)
        return removed

    def reload(self) -> dict[str, list[str]]:
        """Read the list of streams again: start those that are new, stop those that are gone.

        Returns:
            The names of the streams `added`, `removed` and `replaced`, and why lines were
            `refused`. All others go on untouched.

        Raises:
            ConfigError: The graph has no list in a file of its own, or that cannot be read.
        """
        return self._stations.reload()

    def command(
        self, name: str, stream: str | None = None, **arguments: Any
    ) -> dict[str, dict[str, Any]]:
        """Give a command to all nodes that offer it, with effect in all of them or in none.

        Args:
            name: Name of the command.
            stream: Name of the only stream that gets it; None for all streams and later ones.
            arguments: Arguments of the command.

        Returns:
            The answers, by stream and name of the node.

        Raises:
            ConfigError: The stream is unknown, or one of the nodes cannot use the arguments.
            WireError: An argument is missing, unknown, or of another type.
        """
        with self._streams.lock:
            changes: list[tuple[str | None, Node, Change]] = []
            idle: ConfigError | None = None
            for where, node in self._list_nodes(name, stream):
                try:
                    change = Command(name, node.commands()[name])(arguments)
                except NothingToChangeError as error:
                    idle = idle or error
                else:
                    changes.append((where, node, change))
            if not changes:
                raise idle or ConfigError(f"no node of the stream has a command {name!r}")
            answers: dict[str, dict[str, Any]] = {}
            for where, node, change in changes:
                answer = change()
                if where is None:
                    self._template.keep_settings([node])
                else:
                    answers.setdefault(where, {})[node.name] = answer
            return answers

    def _list_nodes(self, command: str, stream: str | None) -> Iterator[tuple[str | None, Node]]:
        """The nodes that have a command, with their streams' names; None for later streams."""
        for each in self._streams.choose(stream):
            for node in each.run.graph.order:
                if command in node.commands():
                    yield each.name, node
        for node in self._template.nodes if stream is None else ():
            if command in node.commands():
                yield None, node

    def _offer(self, nodes: Iterable[Node]) -> None:
        """Answer the commands of nodes from now on; the service's own win over equal names."""
        for node in nodes:
            for name in node.commands():
                if name not in self._server.commands:
                    self._server.handle(name, self._make_handler(name))

    def _make_handler(self, name: str) -> Callable[..., Any]:
        def handle(stream: str | None = None, **arguments: Any) -> dict[str, dict[str, Any]]:
            return self.command(name, stream, **arguments)

        return handle

    def _describe_commands(self) -> dict[str, Any]:
        """The descriptions of all commands, by name."""
        commands = {name: self._server.commands[name].describe() for name in sorted(self._own)}
        graphs = [each.run.graph.order for each in self._streams.all]
        for node in (node for nodes in (self._template.nodes, *graphs) for node in nodes):
            for name, function in node.commands().items():
                if name not in commands:
                    commands[name] = _describe_command(name, function)
        return commands


def _describe_command(name: str, function: Callable[..., Any]) -> dict[str, Any]:
    """The description of a command of a node, with `stream` added to its arguments."""
    description = Command(name, function).describe()
    return {**description, "arguments": {**description["arguments"], "stream": STREAM}}
