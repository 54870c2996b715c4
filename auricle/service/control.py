"""What the control socket answers: questions about the streams, and the commands of their nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from auricle.engine.command import Change
from auricle.engine.node import Node
from auricle.errors import ConfigError, NothingToChangeError, describe_invalid
from auricle.service.description import describe_graph
from auricle.service.stream_list import StreamSpec
from auricle.service.streams import Streams
from auricle.service.template import StreamTemplate
from auricle.wire.commands import Command
from auricle.wire.server import Server

STREAM = {
    "about": "Stream whose nodes it is for; all, and those to come, if left out.",
    "type": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    "required": False,
    "default": None,
}
"""Description of the argument `stream` that every command of a node has beside its own."""


class Control:
    """Answers the control socket of a server.

    A command that nodes offer goes to one stream, to all, or to those to come, in all of these or
    in none: every node checks it first, and then every change is made.

    Args:
        template: What streams to come are made from.
        streams: The streams.
        server: Whose control socket is answered.
    """

    def __init__(self, template: StreamTemplate, streams: Streams, server: Server) -> None:
        self._template = template
        self._streams = streams
        self._server = server
        own: dict[str, Callable[..., Any]] = {
            "list": self.list_streams,
            "statistics": self.statistics,
            "describe": self.describe,
            "stop": self.stop,
            "add-stream": self.add_stream,
            "remove-stream": self.remove_stream,
        }
        for name, function in own.items():
            server.handle(name, function)
        self._own = frozenset(own)
        self._offer(template.nodes)

    def list_streams(self) -> dict[str, Any]:
        """Say how each stream is, in a few words."""
        return {stream.name: stream.summary() for stream in self._streams.all}

    def statistics(self, stream: str | None = None) -> dict[str, Any]:
        """Say what every node has counted, and latencies by stage, by stream.

        Args:
            stream: Only of this one.
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
        """Say which labels, models, hops, settings and commands there are.

        Args:
            stream: Only of this one; with hundreds of streams the answer would be too long.

        Returns:
            `commands` by name, and `streams` by name with `state` and what `describe_graph` says.
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
            stream: Only this one.

        Returns:
            Their names.
        """
        return self._streams.stop(stream)

    def add_stream(self, stream: str, input: str, values: dict[str, Any] | None = None) -> str:
        """Run the graph for another stream, or again for one that has ended.

        Args:
            stream: Its name.
            input: What it listens to: a file, a URL, mic:NAME, zmq:ADDRESS.
            values: Parameters that differ from the graph's, by `node.param`.

        Returns:
            Its name.

        Raises:
            ConfigError: A stream of this name is running, or something cannot be used.
        """
        try:
            spec = StreamSpec(name=stream, input=input, values=dict(values or {}))
        except ValidationError as error:
            raise ConfigError(describe_invalid(error)) from None
        self._offer(self._streams.add(spec).run.graph.order)
        return stream

    def remove_stream(self, stream: str) -> str:
        """Stop a stream, and forget it when it has ended.

        Args:
            stream: Its name.

        Returns:
            Its name.
        """
        return self._streams.remove(stream)

    def command(
        self, name: str, stream: str | None = None, **arguments: Any
    ) -> dict[str, dict[str, Any]]:
        """Give a command to the nodes that offer it: in all of them, or in none.

        Args:
            name: Name of the command.
            stream: Only to this stream; to all, and those to come, if None.
            arguments: Arguments of the command.

        Returns:
            What each node answered, by stream and name of the node.

        Raises:
            ConfigError: An unknown stream, or arguments that one of the nodes cannot use.
            WireError: Arguments that the command does not have, or of another type.
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
        """The nodes that have a command, with their stream; None for those to come."""
        for each in self._streams.choose(stream):
            for node in each.run.graph.order:
                if command in node.commands():
                    yield each.name, node
        for node in self._template.nodes if stream is None else ():
            if command in node.commands():
                yield None, node

    def _offer(self, nodes: Iterable[Node]) -> None:
        """Answer the commands that nodes have, from now on. Names of our own come first."""
        for node in nodes:
            for name in node.commands():
                if name not in self._server.commands:
                    self._server.handle(name, self._make_handler(name))

    def _make_handler(self, name: str) -> Callable[..., Any]:
        def handle(stream: str | None = None, **arguments: Any) -> dict[str, dict[str, Any]]:
            return self.command(name, stream, **arguments)

        return handle

    def _describe_commands(self) -> dict[str, Any]:
        """What every command does and takes, by its name."""
        commands = {name: self._server.commands[name].describe() for name in sorted(self._own)}
        graphs = [each.run.graph.order for each in self._streams.all]
        for node in (node for nodes in (self._template.nodes, *graphs) for node in nodes):
            for name, function in node.commands().items():
                if name not in commands:
                    commands[name] = _describe_command(name, function)
        return commands


def _describe_command(name: str, function: Callable[..., Any]) -> dict[str, Any]:
    """What a command of a node does and takes; `stream` comes beside its own arguments."""
    said = Command(name, function).describe()
    return {**said, "arguments": {**said["arguments"], "stream": STREAM}}
