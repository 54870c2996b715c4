"""The mel node: as many frames as the front end defines, and the same as offline."""

import numpy as np
import pytest

from auricle.engine.graph import Graph
from auricle.engine.scheduler import run_offline
from auricle.engine.testing import Player, Recorder
from auricle.models.front_end import FRONT_ENDS
from auricle.nodes.mel_spectrogram import MelSpectrogram
from auricle.nodes.signal.mel import mel_spectrogram


@pytest.mark.parametrize("name", FRONT_ENDS)
@pytest.mark.parametrize(
    "total", [0, 1, 159, 160, 161, 255, 256, 257, 511, 512, 513, 2560, 2561, 16000]
)
@pytest.mark.parametrize("block", [100, 10**6])
def test_frames_are_those_of_the_whole_signal(name: str, total: int, block: int) -> None:
    samples = np.random.default_rng(total).uniform(-1, 1, total).astype(np.float32)
    recorder = Recorder("frames")
    nodes = [Player("in", samples, (block,)), MelSpectrogram("mel", front_end=name), recorder]
    run_offline(Graph("g", nodes, [("in", "mel"), ("mel", "frames")]))
    expected = mel_spectrogram(samples, FRONT_ENDS[name])
    assert (
        len(recorder.tokens)
        == len(expected)
        == (1 + -(-total // FRONT_ENDS[name].hop_size) if total else 0)
    )
    for n, frame in recorder.tokens.items():
        np.testing.assert_array_equal(frame, expected[n])
