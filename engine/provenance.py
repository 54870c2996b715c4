"""Where tokens come from: which audio, when it was heard, and what was done to it on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from auricle.engine.reader import Reader
from auricle.engine.stream import Commit, Stream


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a token, or several in a row, come from, whatever node made them.

    Attributes:
        index: Number of the first token in its stream, from 0, skipped ones included.
        span: First sample of the source that the tokens cover, and the one after the last.
        sample_rate: Rate of the source, which `span` counts at, Hz.
        start: Beginning of `span`, seconds from the start of the source.
        end: End of `span`, seconds from the start of the source.
        utc: UTC at which the last sample of `span` was heard, seconds since 1970.
        rung: Highest rung of the ladder on which any node on the way computed them.
        level: Variant that computed them, such as a patchout level; None where there is only one.
        flags: `gap:REASON` for each reason of a gap that they touch, and the remarks on them.
        latency: Seconds from the last sample of `span` to the last token, by stage: `capture` until
            the sample was in the engine, `queue` for all waiting after that, and the work of each
            stage itself. The sum is the whole latency.
        done_ns: Monotonic time at which the last token was done.
    """

    index: int
    span: tuple[int, int]
    sample_rate: int
    start: float
    end: float
    utc: float
    rung: int
    level: str | None
    flags: tuple[str, ...]
    latency: Mapping[str, float]
    done_ns: int

    @classmethod
    def of(cls, reader: Reader, token: int, count: int = 1) -> Self:
        """The provenance of tokens of a stream that were not skipped.

        Args:
            reader: Reader of the tokens, which must not have released them yet.
            token: Index of the first token.
            count: Number of tokens.
        """
        stream, last = reader.stream, token + count - 1
        clock = stream.clock
        start = stream.seconds(token)[0]
        end = stream.seconds(last)[1]
        first_sample, after_last = clock.sample_at(start), clock.sample_at(end, end=True)
        path = [(each, each.committed(index)) for each, index in stream.ancestry(last)]
        latency, done_ns = _latency(path, clock.monotonic_ns(after_last))
        return cls(
            index=token - stream.start,
            span=(first_sample, after_last),
            sample_rate=clock.sample_rate,
            start=float(clock.seconds_at(start)),
            end=float(clock.seconds_at(end, end=True)),
            utc=clock.utc_ns(after_last) / 1e9,
            rung=max(commit.rung for _, commit in path),
            level=next((commit.level for _, commit in path if commit.level), None),
            flags=(
                *(f"gap:{reason}" for reason in reader.gap_reasons(token, last + 1)),
                *reader.remark_reasons(token, last + 1),
            ),
            latency=latency,
            done_ns=done_ns,
        )


def _latency(path: list[tuple[Stream, Commit]], heard_ns: int) -> tuple[dict[str, float], int]:
    """Seconds by stage, and the monotonic time, ns, at which the token was done.

    Args:
        path: Streams from that of the token up to the source, each with the commit of the last of
            its tokens that the token needs.
        heard_ns: Monotonic time at which the last sample was heard.
    """
    before_ns = path[-1][1].done_ns
    stages = {"capture": max(0, before_ns - heard_ns) / 1e9, "queue": 0.0}
    for stream, (began_ns, done_ns, *_) in path[-2::-1]:
        # A node may have begun on earlier tokens before the last one came.
        began_ns = max(began_ns, before_ns)
        stages["queue"] += (began_ns - before_ns) / 1e9
        stages[stream.stage] = stages.get(stream.stage, 0.0) + max(0, done_ns - began_ns) / 1e9
        before_ns = max(done_ns, before_ns)
    return stages, before_ns
