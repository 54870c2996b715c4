"""Stores: what is written is read again, whatever interrupts the writing."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from auricle.errors import TrainingError
from auricle.models.files import write_atomically
from auricle.training.data import store
from auricle.training.data.store import Store, StoreWriter, missing

ABOUT = {"what": "numbers", "sizes": (1, 2)}


def rows(seed: int, count: int = 5) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)


def write(folder: Path, *seeds: int) -> None:
    with StoreWriter(folder, 3, ABOUT) as writer:
        for seed in seeds:
            writer.add(f"t{seed}", rows(seed, seed))


def shards(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name not in ("store.json", "lock"))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write(tmp_path / "s", 5, 0, 2)
    write(tmp_path / "s", 7)
    found = Store(tmp_path / "s")
    assert list(found) == ["t5", "t0", "t2", "t7"]
    assert (found.width, found.about) == (3, {"what": "numbers", "sizes": [1, 2]})
    for seed in (5, 0, 2, 7):
        np.testing.assert_array_equal(found[f"t{seed}"], rows(seed, seed).astype(np.float16))
    assert shards(tmp_path / "s") == ["00000.f16", "00000.json", "00001.f16", "00001.json"]
    assert found.verify() == []


def test_a_shard_is_closed_when_it_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "SHARD_BYTES", 60)  # ten rows
    write(tmp_path, 4, 6, 3)
    assert shards(tmp_path) == ["00000.f16", "00000.json", "00001.f16", "00001.json"]
    assert list(Store(tmp_path)) == ["t4", "t6", "t3"]


def test_tracks_without_rows_alone(tmp_path: Path) -> None:
    write(tmp_path, 0)
    assert Store(tmp_path)["t0"].shape == (0, 3)
    assert Store(tmp_path).verify() == []


def test_an_interrupt_keeps_what_is_finished(tmp_path: Path) -> None:
    def interrupted() -> None:
        with StoreWriter(tmp_path, 3, ABOUT) as writer:
            writer.add("t1", rows(1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(Store(tmp_path)) == ["t1"]
    with StoreWriter(tmp_path, 3, ABOUT) as writer:
        assert writer.done == {"t1"}
        writer.add("t2", rows(2))
    assert list(Store(tmp_path)) == ["t1", "t2"]


@pytest.mark.parametrize("full_at", [1, 2])
def test_a_full_disk_leaves_whole_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full_at: int
) -> None:
    write(tmp_path, 1)
    calls = 0

    def until_full(path: Path, content: bytes) -> None:
        nonlocal calls
        calls += 1
        if calls >= full_at:
            raise OSError(28, "No space left on device", str(path))
        write_atomically(path, content)

    with monkeypatch.context() as full:
        full.setattr(store, "write_atomically", until_full)
        full.setattr(store, "SHARD_BYTES", 1)
        with pytest.raises(OSError, match="No space left"):
            write(tmp_path, 2, 3)
    assert calls == full_at  # not tried again on leaving
    assert list(Store(tmp_path)) == ["t1"]
    write(tmp_path, 2)
    assert list(Store(tmp_path)) == ["t1", "t2"]
    np.testing.assert_array_equal(Store(tmp_path)["t2"], rows(2, 2).astype(np.float16))


def test_a_full_disk_is_reported_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 1)

    def full(handle: int) -> None:
        raise OSError(27, "File too large")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"File too large; .* the same command continues: ") as caught:
        write(tmp_path, 2)
    assert (caught.value.errno, caught.value.filename) == (27, str(tmp_path / "00001.f16"))
    assert shards(tmp_path) == ["00000.f16", "00000.json"]


def test_what_a_kill_leaves_is_swept(tmp_path: Path) -> None:
    write(tmp_path, 1)
    (tmp_path / ".00001.f16-0badcafe").write_bytes(b"half")
    (tmp_path / "00001.f16").write_bytes(b"\0" * 60)  # whole, but its index was not written
    assert list(Store(tmp_path)) == ["t1"]
    write(tmp_path, 2)
    assert list(Store(tmp_path)) == ["t1", "t2"]
    np.testing.assert_array_equal(Store(tmp_path)["t2"], rows(2, 2).astype(np.float16))
    assert not list(tmp_path.glob(".*"))


def test_two_writers_at_once(tmp_path: Path) -> None:
    with (
        StoreWriter(tmp_path, 3, ABOUT),
        pytest.raises(TrainingError, match="another process is writing to it"),
    ):
        StoreWriter(tmp_path, 3, ABOUT)
    write(tmp_path, 1)


def test_a_store_of_something_else(tmp_path: Path) -> None:
    write(tmp_path, 1)
    for width, about, words in (
        (4, ABOUT, "width 3, not 4"),
        (3, {"what": "letters"}, "about.what 'numbers', not 'letters'"),
        (
            3,
            {**ABOUT, "sizes": list(range(99))},
            r"about.sizes \[1, 2\], not \[0, 1, 2, 3, 4, 5, \.\.\.\]",
        ),
        (3, {**ABOUT, "more": {"a": 1}}, "about.more None, not {'a': 1}"),
    ):
        with pytest.raises(TrainingError, match=f"has rows of {words}; choose another folder$"):
            StoreWriter(tmp_path, width, about)
    write(tmp_path, 2)  # nothing of the refused ones is in the way


def test_shards_that_were_damaged(tmp_path: Path) -> None:
    write(tmp_path, 5)
    write(tmp_path, 6)
    file = tmp_path / "00000.f16"
    content = bytearray(file.read_bytes())
    content[7] ^= 1
    file.write_bytes(content)
    assert Store(tmp_path).verify() == [file]
    file.write_bytes(content[:-6])
    with pytest.raises(TrainingError, match=r"00000\.f16: 4 rows, its index says 5"):
        Store(tmp_path)
    file.write_bytes(content[:-1])
    with pytest.raises(TrainingError, match=r"00000\.f16: 29 bytes are not rows of 3"):
        Store(tmp_path)
    file.unlink()
    with pytest.raises(
        TrainingError, match=r"00000\.f16: No such file .*; without it 00000\.json is worth"
    ):
        Store(tmp_path)
    (tmp_path / "00000.json").write_text("{")
    with pytest.raises(TrainingError, match=r"00000\.json: not the index of a store"):
        Store(tmp_path)


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"store\.json: not the index of a store: No such file"):
        Store(tmp_path)


def test_other_processes_open_it_again(tmp_path: Path) -> None:
    write(tmp_path, 500)
    sent = pickle.dumps(Store(tmp_path))
    assert len(sent) < 500  # not the rows
    np.testing.assert_array_equal(pickle.loads(sent)["t500"], Store(tmp_path)["t500"])


def test_tracks_that_are_missing(tmp_path: Path) -> None:
    write(tmp_path, 1)
    missing(Store(tmp_path), ["t1"], tmp_path)
    with pytest.raises(TrainingError, match="lacks 2 of 3 tracks, such as t2"):
        missing(Store(tmp_path), ["t1", "t2", "t3"], tmp_path)
