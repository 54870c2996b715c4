"""A model replaced while the process runs: new streams get the new one, others keep the old."""

from __future__ import annotations

import gc
import json
import shutil
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from auricle.engine.scheduler import run_offline
from auricle.models.files import sha256
from auricle.models.inference.providers import usable
from auricle.models.inference.sessions import open_session
from auricle.models.inference.shared import MOST_UNUSED, made_once_per_model
from tests.nodes.noise_stream import NoiseStream
from tests.tiny import make_backbone, make_transformer

TOLERANCE = 1e-5
"""As of batches; see `test_batched_backbone`. Other weights change embeddings by tenths."""


def replace_by(folder: Path, make: Callable[..., Path], seed: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    make(folder, seed=seed)


@pytest.mark.parametrize(
    ("make", "params"),
    [
        (make_backbone, {"incremental": False}),
        (make_backbone, {}),
        (make_transformer, {}),
        (make_backbone, {"batch": 2}),
        (make_transformer, {"batch": 2}),
    ],
    ids=["whole", "split", "patches", "batched", "batched patches"],
)
def test_a_new_stream_gets_the_new_weights(
    tmp_path: Path, make: Callable[..., Path], params: dict[str, Any]
) -> None:
    def run(folder: Path) -> NoiseStream:
        bench = NoiseStream(0, model=str(folder), **params)
        run_offline(bench.graph)
        return bench

    folder = tmp_path / "replaced"
    for seed in (3, 4, 3):
        replace_by(folder, make, seed)
        expected = run(make(tmp_path / f"fresh{len(list(tmp_path.iterdir()))}", seed=seed))
        run(folder).assert_same(expected, TOLERANCE)


def test_a_card_without_a_hash(tmp_path: Path) -> None:
    def forget_hash() -> None:
        card = json.loads((folder / "card.json").read_text())
        del card["sha256"]
        (folder / "card.json").write_text(json.dumps(card))

    folder = make_backbone(tmp_path / "tiny", seed=3)
    forget_hash()
    first = open_session(folder, ("cpu",), 1)
    assert open_session(folder, ("cpu",), 1) is first
    replace_by(folder, make_backbone, 4)
    forget_hash()
    assert open_session(folder, ("cpu",), 1) is not first


def test_what_can_run_a_model_depends_on_what_is_there_now(tmp_path: Path) -> None:
    folder = make_backbone(tmp_path / "tiny")
    with pytest.raises(Exception, match="the model has no torch program"):
        usable(folder, ("torch-tensorrt",))
    assert usable(folder, ("torch-tensorrt", "cpu")) == ("CPUExecutionProvider",)
    (folder / "model.pt2").write_bytes(b"a program")
    card = json.loads((folder / "card.json").read_text())
    card |= {"program": "model.pt2", "program_sha256": sha256(folder / "model.pt2")}
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("auricle.models.inference.program.no_compiler_reason", lambda: None)
        assert usable(folder, ("torch-tensorrt", "cpu")) == ("torch-tensorrt",)


def test_who_asks_at_the_same_time_gets_the_same(tmp_path: Path) -> None:
    made: list[Path] = []
    together = threading.Barrier(8)

    @made_once_per_model
    def make(folder: Path) -> object:
        made.append(folder)
        time.sleep(0.05)  # in which the others come
        return object()

    def ask(folder: Path) -> object:
        together.wait()
        return make(folder)

    folder = make_backbone(tmp_path / "tiny")
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, [folder] * 8))) == 1
    assert made == [folder]


def test_what_was_made_of_the_old_one_is_let_go(tmp_path: Path) -> None:
    class Made:
        pass

    @made_once_per_model
    def make(folder: Path, word: str) -> Made:
        return Made()

    folder = make_backbone(tmp_path / "tiny", seed=3)
    old = weakref.ref(make(folder, "a"))
    assert make(folder, "a") is old()
    assert make(folder, "b") is not old()
    replace_by(folder, make_backbone, 4)
    assert make(folder, "a") is make(folder, "a")
    assert old() is None


def test_of_what_nobody_uses_the_last_are_kept(tmp_path: Path) -> None:
    class Made:
        pass

    @made_once_per_model
    def make(folder: Path, number: int) -> Made:
        return Made()

    folder = make_backbone(tmp_path / "tiny", seed=3)
    used = make(folder, 0)
    unused = [weakref.ref(make(folder, number)) for number in range(1, 41)]
    gc.collect()
    assert [each() is None for each in unused] == [True] * 36 + [False] * MOST_UNUSED
    assert make(folder, 0) is used
    assert make(folder, 40) is unused[-1]()


def test_plain_values_are_kept(tmp_path: Path) -> None:
    made: list[int] = []

    @made_once_per_model
    def make(folder: Path, number: int) -> tuple[int, ...]:
        made.append(number)
        return (number,)

    folder = make_backbone(tmp_path / "tiny", seed=3)
    for number in [*range(40), *range(40)]:
        assert make(folder, number) == (number,)
    assert made == list(range(40))


def test_sessions_with_other_threads_do_not_add_up(tmp_path: Path) -> None:
    """As a command can ask for with each stream that it adds."""
    folder = make_backbone(tmp_path / "tiny", seed=5)
    sessions = [weakref.ref(open_session(folder, ("cpu",), threads)) for threads in range(1, 21)]
    gc.collect()
    assert sum(each() is not None for each in sessions) == MOST_UNUSED
