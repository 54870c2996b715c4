"""Raw PCM through real pipes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from pydantic import ValidationError

from auricle.errors import ConfigError, InputError
from auricle.nodes.inputs.stdin import StdinInput
from auricle.nodes.signal.conditioner import Resampler, downmix, pcm_samples, to_float
from tests.nodes.listening import heard_live, listening, one_line, tone

ROOT = Path(__file__).parents[3]


@pytest.fixture
def pipe() -> Iterator[tuple[BinaryIO, BinaryIO]]:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as source, os.fdopen(writing, "wb", buffering=0) as sink:
        yield source, sink


def fed(data: bytes, pipe: tuple[BinaryIO, BinaryIO], sizes: tuple[int, ...] = (4096,)) -> BinaryIO:
    """The reading end of a pipe to which a thread writes `data` in the given sizes, in turn."""
    source, sink = pipe

    def feed() -> None:
        at, turn = 0, 0
        while at < len(data):
            size = sizes[turn % len(sizes)]
            sink.write(data[at : at + size])
            at, turn = at + size, turn + 1
        sink.close()

    threading.Thread(target=feed, daemon=True).start()
    return source


@pytest.mark.parametrize("sizes", [(4096,), (1,), (7, 65536, 3)], ids=str)
@pytest.mark.parametrize("pcm_format", ["s16le", "s24le"])
def test_samples_come_whole(
    pipe: tuple[BinaryIO, BinaryIO], pcm_format: str, sizes: tuple[int, ...]
) -> None:
    frames = 2000 if sizes == (1,) else 20000
    wide = (tone(440, 1, 44100)[:frames, None] * [1.0, 0.5] * 2**31).astype("<i4")
    low = 2 if pcm_format == "s16le" else 1
    data = wide.view(np.uint8).reshape(-1, 4)[:, low:].tobytes()
    listener = heard_live(StdinInput("stdin", fed(data, pipe, sizes), format=pcm_format))
    resampler = Resampler(44100, 16000)
    expected = resampler(downmix(to_float(pcm_samples(data, pcm_format, 2))))
    np.testing.assert_array_equal(listener.samples, np.concatenate([expected, resampler.flush()]))
    assert not listener.gaps


def test_nothing_is_lost_where_the_graph_is_slow(pipe: tuple[BinaryIO, BinaryIO]) -> None:
    samples = (tone(440, 10, 16000) * 2**15).astype(
        "<i2"
    )  # more than twice what ring and pipe hold
    node = StdinInput("stdin", fed(samples.tobytes(), pipe), rate=16000, channels=1)
    with listening(node) as (scheduler, listener):
        listener.deaf = True
        full = threading.Event()
        while node.audio.stream.room() and not full.wait(0.01):
            pass
        listener.deaf = False
        assert scheduler.wait(20)
    np.testing.assert_array_equal(listener.samples, samples / np.float32(2**15))


def test_partial_frame_at_the_end_is_reported(pipe: tuple[BinaryIO, BinaryIO]) -> None:
    node = StdinInput("stdin", fed(bytes(4 * 100 + 3), pipe), rate=16000)
    assert len(heard_live(node).samples) == 100
    (warning,) = node.statistics()["warnings"]
    assert "3 bytes" in one_line(warning)


def test_nothing_at_all(pipe: tuple[BinaryIO, BinaryIO]) -> None:
    assert len(heard_live(StdinInput("stdin", fed(b"", pipe))).samples) == 0


def test_stop_does_not_wait_for_the_sender(pipe: tuple[BinaryIO, BinaryIO]) -> None:
    source, sink = pipe
    with listening(StdinInput("stdin", source, rate=16000, channels=1)) as (scheduler, listener):
        sink.write(bytes(2000))
        listener.wait_for(lambda: len(listener.tokens) == 1000)
        scheduler.stop()
        assert scheduler.wait(2)


def test_standard_input_itself() -> None:
    program = (
        "from tests.nodes.listening import heard_live\n"
        "from auricle.nodes.inputs.stdin import StdinInput\n"
        "print(len(heard_live(StdinInput('stdin', rate=16000, channels=1, format='u8')).samples))"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, input=bytes(70001), capture_output=True, timeout=500, cwd=ROOT, check=True
    )
    assert done.stdout == b"70001\n"


def test_closed_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)  # as Python sets it
    with pytest.raises(InputError, match="standard input is closed"):
        heard_live(StdinInput("stdin"))


@pytest.mark.parametrize("params", [{"format": "mp3"}, {"rate": 0}, {"channels": 0}])
def test_wrong_parameters(params: dict[str, Any]) -> None:
    with pytest.raises((ConfigError, ValidationError)) as caught:
        StdinInput("stdin", **params)
    assert next(iter(params)) in str(caught.value)
