"""Supervising the runs of a service: reporting their states, and starting them again."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from functools import partial

from auricle.engine.run import Run, State
from auricle.errors import AuricleError, one_line_with_type
from auricle.service.restart import RestartPolicy
from auricle.service.streams import WAITING, Retry, Stream, Streams, heard_s
from auricle.service.timers import After

log = logging.getLogger(__name__)


class Supervisor:
    """Gives streams the states of their runs, and starts them again if the policy says so.

    It has no state itself: everything that it changes belongs to a stream and is changed under
    the lock of the streams.

    Args:
        streams: Streams to supervise.
        policy: Policy for starting streams again that have ended.
        after: Function that calls another one later.
        chance: Function that returns random numbers from 0 to 1, which spread the pauses.
        utc: Function that returns UTC in seconds.
    """

    def __init__(
        self,
        streams: Streams,
        policy: RestartPolicy,
        after: After,
        chance: Callable[[], float] = random.random,
        utc: Callable[[], float] = time.time,
    ) -> None:
        self._streams = streams
        self._policy = policy
        self._after = after
        self._chance = chance
        self._utc = utc

    def note(self, run: Run) -> None:
        """Report a run that has been opened or is over, and schedule its restart if wanted.

        The scheduler calls this on its opener threads, without holding a lock, and for each run in
        this order. A run that is no longer the current one of a stream is ignored.
        """
        with self._streams.lock:
            stream = self._streams.find(run)
            if stream is None:
                return
            if run.over and stream.wanted and self._policy.wants(run):
                self._try_later(stream)
            else:
                self._streams.report(stream, run.state.value, run.error)
            if stream.over and stream.removed:
                self._streams.forget(stream)

    def _try_later(self, stream: Stream) -> None:
        if heard_s(stream.run) >= self._policy.good_after_s:
            stream.tries = 0
        pause_s = self._policy.pause_s(stream.tries, self._chance())
        stream.tries += 1
        cancel = self._after(pause_s, partial(self._try_again, stream))
        stream.retry = Retry(self._utc() + pause_s, cancel)
        self._streams.report(stream, WAITING, stream.run.error)

    def _try_again(self, stream: Stream) -> None:
        """Start a stream again; called on the thread of the timers."""
        with self._streams.lock:
            if stream.retry is None:  # stopped while it was waiting
                return
            try:
                self._streams.run_again(stream)
            except AuricleError as error:
                self._streams.report(stream, State.FAILED.value, error)
            except Exception as error:  # or the stream would wait for ever
                log.exception("%s: it could not be started again", stream.name)
                reason = AuricleError(one_line_with_type(error))
                self._streams.report(stream, State.FAILED.value, reason)
