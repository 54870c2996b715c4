"""What streams leave out when there is not enough time, and that they say so."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from auricle.engine.overload import Ladder, Member
from auricle.wire.messages import Prediction, Skip
from tests.service.running import listen_to_all, make_service, tagged, write_graph

STREAMS = [f"s{n}" for n in range(4)]


class OnceLate(Member):
    """A place of the first stream whose third window to serve comes too late, and no other."""

    def __init__(self, ladder: Ladder, number: int) -> None:
        super().__init__(ladder, number)
        self.number, self.begun = number, 0

    def begin(self, late_s: float, deadline_s: float) -> bool:
        self.begun += 1
        late = self.number == 0 and self.begun == 3
        return super().begin(2 * deadline_s if late else 0.0, deadline_s)


class FixedLadder(Ladder):
    """A ladder that stays on its rung, and whose first stream is late once."""

    member_class = OnceLate

    def look(self, now: float) -> None:
        """Nothing changes."""


def test_what_the_ladder_leaves_out_is_published(folder: Path) -> None:
    """Rung 3, one segment in four, and one of those too late."""
    specs = ", ".join(f"{{name: {name}, input: long.wav}}" for name in STREAMS)
    ladder = FixedLadder()
    ladder.rung = 3
    service = make_service(write_graph(folder, f"[{specs}]", "ladder.yaml"), ladder=ladder)
    messages = listen_to_all(service, streams=len(STREAMS))
    service.stop()
    expected = tagged(folder, "long.wav")
    overload = Counter[str]()
    for name in STREAMS:
        mine = [message for message in messages if message.stream == name]
        served = [message for message in mine if isinstance(message, Prediction)]
        assert {message.rung for message in served} == {3}
        for message in served:
            # A segment computed after others were left out shares nothing with one before: sums
            # may differ.
            assert dict(message.activations) == pytest.approx(expected[message.index], abs=1e-5)
        left_out = Counter[str]()
        for skip in (message for message in mine if isinstance(message, Skip)):
            left_out[skip.reason] += skip.count
        assert len(served) + left_out.total() == len(expected), "each segment once"
        assert abs(len(served) + left_out["overload"] - len(expected) / 4) <= 1
        overload[name] = left_out["overload"]
    assert overload == {"s0": 1, "s1": 0, "s2": 0, "s3": 0}
