"""Supervising the runs of a service: reporting their states, and starting them again."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from functools import partial

from auricle.engine.run import Run, State
from auricle.errors import AuricleError, InputError, one_line_with_type
from auricle.service.streams import OVER, WAITING, Stream, Streams, heard_s
from auricle.service.timers import After

log = logging.getLogger(__name__)


class Supervisor:
    """Gives streams the states of their runs, and starts them again if the policy says so.

    It has no state itself: everything that it changes belongs to a stream and is changed under
    the lock of the streams.

    Args:
        streams: Streams to supervise.
        after: Function that calls another one later.
        chance: Function that returns random numbers from 0 to 1, which spread the pauses.
        utc: Function that returns UTC in seconds.
    """

    def __init__(
        self,
        streams: Streams,
        after: After,
        chance: Callable[[], float] = random.random,
        utc: Callable[[], float] = time.time,
    ) -> None:
        self._streams = streams
        self._after = after
        self._chance = chance
        self._utc = utc

    def note(self, run: Run) -> None:
        """Report the state of a run, and schedule its restart if it is over and that is wanted.

        The scheduler calls this without holding a lock: on its opener threads when the run has been
        opened and when it is over, and on the thread of the source when that has to wait for audio
        and when it is heard again. A run that is no longer the current one of a stream is ignored,
        as is a source that is still waiting when its run is over.
        """
        with self._streams.lock:
            stream = self._streams.find(run)
            if stream is None or stream.state in OVER or stream.cancel_retry is not None:
                return
            outage = run.outage
            if run.over and stream.policy.wants(run):
                if stream.wanted:
                    self._try_later(stream)
                else:  # a try that failed once it was stopped is not a failure of the stream
                    self._streams.report(stream, State.STOPPED.value)
            elif outage is not None and not run.over:
                reason = InputError(outage.reason)
                self._streams.report(stream, WAITING, reason, outage.retry_at)
            else:
                self._streams.report(stream, run.state.value, run.error)
            if stream.over and stream.removed:
                self._streams.forget(stream)

    def _try_later(self, stream: Stream) -> None:
        backoff = stream.policy.backoff
        if heard_s(stream.run) >= backoff.good_after_s:
            stream.tries = 0
        pause_s = backoff.pause_s(stream.tries, self._chance())
        stream.tries += 1
        stream.cancel_retry = self._after(pause_s, partial(self._try_again, stream))
        self._streams.report(stream, WAITING, stream.run.error, self._utc() + pause_s)

    def _try_again(self, stream: Stream) -> None:
        """Start a stream again; called on the thread of the timers."""
        with self._streams.lock:
            if stream.cancel_retry is None:  # stopped while it was waiting
                return
            try:
                self._streams.run_again(stream)
            except AuricleError as error:
                self._streams.report(stream, State.FAILED.value, error)
            except Exception as error:  # or the stream would wait for ever
                log.exception("%s: it could not be started again", stream.name)
                reason = AuricleError(one_line_with_type(error))
                self._streams.report(stream, State.FAILED.value, reason)
