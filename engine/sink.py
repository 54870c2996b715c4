"""Nodes that only read: publishers, recorders, stores."""

from __future__ import annotations

from auricle.engine.marks import Mark
from auricle.engine.node import Node, P, Status
from auricle.engine.port import InputPort
from auricle.engine.reader import Reader


class Sink(Node[P]):
    """A node without outputs, whose inputs may each have any number of streams.

    A subclass declares the inputs, takes their tokens, and may look at the marks. Streams are read
    one after another, in the order of the inputs, each as far as it has tokens.
    """

    def take(self, port: InputPort, reader: Reader, count: int) -> None:
        """Use the next windows of one stream, none of which was skipped.

        Args:
            port: Input that the stream is connected to.
            reader: Reader of the stream: `reader.view(count)` has the tokens, which are dead after
                this call, `reader.position` is the index of the first, `reader.number` the number
                of the first window.
            count: Number of windows.
        """
        raise NotImplementedError

    def marked(self, port: InputPort, reader: Reader, mark: Mark) -> None:
        """Use a mark as soon as it is known, maybe long before the first window that touches it.

        Args:
            port: Input that the stream is connected to.
            reader: Reader of the stream.
            mark: Gap, skip or remark, in tokens of the stream.
        """

    def ended(self) -> None:
        """Finish, now that all inputs have ended and every token was taken."""

    def process(self) -> Status:
        progress, over = False, True
        for port in self.inputs.values():
            for reader in port.readers:
                # Before the windows are counted: the writer, perhaps on another thread, commits
                # its last tokens before it ends the stream.
                ended = reader.stream.ended
                progress |= self._read(port, reader)
                over &= ended and not reader.windows()
        if over:
            self.ended()
            return Status.FINISHED
        return Status.CAUGHT_UP if progress else Status.NO_INPUT

    def _read(self, port: InputPort, reader: Reader) -> bool:
        """Take all complete windows of one stream; returns whether there were any."""
        left = ready = reader.windows()
        # After the windows were counted: the writer marks tokens before it commits them.
        for mark in reader.new_marks():
            self.marked(port, reader, mark)
        while left:
            reader.gap()
            count, skip = reader.stretch(left)
            if skip is None:
                self.take(port, reader, count)
            reader.release(count)
            left -= count
        return ready > 0
