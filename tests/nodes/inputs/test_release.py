"""A stopped input whose thread cannot be ended holds no resampler."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import threading
import numpy as np
from auricle.engine.graph import Graph
from auricle.engine.run import Run
from auricle.nodes.inputs.base import ThreadedInput
from auricle.nodes.mel_spectrogram import MelSpectrogram

heard = threading.Event()

class Stuck(ThreadedInput):
    stop_wait_s = 0.01

    def capture(self):
        self._open(44100)
        self._hear(np.ones((441, 1), np.float32), None)
        heard.set()
        threading.Event().wait()  # a read that nothing interrupts

source = Stuck("input")
run = Run(Graph("a", [source, MelSpectrogram("mel", front_end="musicnn")], [("input", "mel")]))
run.start()
assert heard.wait(300)
run.close()
print("closed")
"""


def test_nothing_leaks_when_python_ends_while_a_thread_is_in_a_read() -> None:
    """Bindings made with nanobind complain of every object of theirs that outlives Python."""
    command = [sys.executable, "-c", SCRIPT]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert (result.returncode, result.stdout, result.stderr) == (0, "closed\n", "")
