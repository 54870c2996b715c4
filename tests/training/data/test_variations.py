"""Variations of mel frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="auricle.training.sampling.batches makes tensors")
pytest.importorskip("pyarrow", reason="manifests are Parquet")

from auricle.errors import TrainingError
from auricle.models.front_end import FRONT_ENDS
from auricle.training.data.features import open_features
from auricle.training.data.manifest import Manifest
from auricle.training.data.store import Store, StoreWriter
from auricle.training.data.variations import Variation, compressed, powers, vary
from auricle.training.testing import make_tracks, write_features
from tests.training.commands.stored import command

NOTHING = Variation(np.zeros(4), 0, 1.0, None, 0.0)
ROWS = np.arange(12, dtype=np.float32).reshape(3, 4)


def changed(**fields: Any) -> Variation:
    return replace(NOTHING, **fields)


@pytest.mark.parametrize("name", ["musicnn", "vggish"])
def test_powers_are_what_was_compressed(name: str) -> None:
    front_end = FRONT_ENDS[name]
    linear = np.geomspace(1e-6, 10, 200, dtype=np.float32).reshape(20, 10)
    np.testing.assert_allclose(
        powers(compressed(linear, front_end), front_end), linear, rtol=2e-3, atol=2e-9
    )
    halves = compressed(linear, front_end).astype(np.float16)
    assert powers(halves, front_end).min() >= 0
    # Half precision of a logarithm is a few percent of the power at most.
    np.testing.assert_allclose(powers(halves, front_end)[10:], linear[10:], rtol=0.02)


def test_each_change_by_hand() -> None:
    np.testing.assert_array_equal(NOTHING(ROWS, None), ROWS)
    louder = changed(filter_db=np.array([0, 10, 20, -10.0]))
    np.testing.assert_allclose(louder(ROWS, None)[1], [4, 50, 600, 0.7], rtol=1e-6)
    np.testing.assert_array_equal(changed(shift=1)(ROWS, None)[1], [4, 4, 5, 6])
    np.testing.assert_array_equal(changed(shift=-2)(ROWS, None)[1], [6, 7, 7, 7])
    longer = changed(stretch=5 / 3)(ROWS, None)
    np.testing.assert_allclose(longer[:, 0], [0, 2, 4, 6, 8])
    np.testing.assert_allclose(changed(stretch=2 / 3)(ROWS, None)[:, 0], [0, 8])
    np.testing.assert_array_equal(changed(stretch=3.0)(ROWS[:1], None), ROWS[[0, 0, 0]])


def test_a_partner_is_mixed_in_at_its_level() -> None:
    # The mean of ROWS is 5.5, that of the partner, gone round, 5/3; at -10 dB it has a tenth of the
    # power.
    partner = np.array([[1, 1, 1, 1], [3, 3, 3, 3]], np.float32)
    mixed = changed(partner=0, mix_db=-10.0)(ROWS, partner)
    np.testing.assert_allclose(mixed - ROWS, 0.1 * 5.5 / (5 / 3) * partner[[0, 1, 0]], rtol=1e-5)
    silent = changed(partner=0)(ROWS, np.zeros((2, 4), np.float32))
    np.testing.assert_array_equal(silent, ROWS)


def test_draws_are_in_range() -> None:
    rng = np.random.default_rng(0)
    drawn = [Variation.draw(rng, 96, 5) for _ in range(300)]
    assert {each.shift for each in drawn} == set(range(-4, 5))
    assert {each.partner for each in drawn} == {None, 0, 1, 2, 3, 4}
    assert 0.5 < np.mean([each.partner is not None for each in drawn]) < 0.7
    assert all(0.8 <= each.stretch <= 1.25 for each in drawn)
    loudness = [each.filter_db.mean() for each in drawn]
    assert min(loudness) < -10
    assert max(loudness) < 15


def test_they_are_added_to_the_training_part(tmp_path: Path) -> None:
    corpus = Manifest(make_tracks(3))
    write_features(tmp_path / "f", list(corpus))
    before = {name: rows.tobytes() for name, rows in open_features(tmp_path / "f").items()}
    corpus.save(tmp_path / "corpus.parquet")
    arguments = (
        "vary",
        tmp_path / "corpus.parquet",
        tmp_path / "f",
        "--out",
        tmp_path / "v.parquet",
    )
    done = command(*arguments, "--times", "2")
    assert done.exit_code == 0, done.output
    assert (
        done.output == f"{tmp_path}/v.parquet: 28 tracks, 16 of them variations\n"
    )  # of 8 for training
    varied = Manifest.load(tmp_path / "v.parquet")
    made = [track for track in varied if "~" in track.track_id]
    assert [track.track_id for track in made[:2]] == ["t0-0~0.0", "t0-1~0.0"]
    assert all(track.part == "train" and not track.artists + track.genres for track in made)
    found = open_features(tmp_path / "f")
    assert set(found) == {track.track_id for track in varied}
    assert {name: found[name].tobytes() for name in before} == before
    for track in made:
        original = found[track.track_id.partition("~")[0]]
        rows = found[track.track_id]
        assert np.isfinite(rows).all()
        assert 0.79 < len(rows) / len(original) < 1.27
        assert rows.shape != original.shape or not np.array_equal(rows, original)

    # Again, with more: existing ones stay, and new ones are as if all were made in one run.
    again = vary(corpus, tmp_path / "f", 3)
    assert len(again) == 36
    assert {name: rows.tobytes() for name, rows in found.items()}.items() <= {
        name: rows.tobytes() for name, rows in open_features(tmp_path / "f").items()
    }.items()
    write_features(tmp_path / "g", list(corpus))
    vary(corpus, tmp_path / "g", 3)
    one, other = Store(tmp_path / "f"), Store(tmp_path / "g")
    assert {name: rows.tobytes() for name, rows in one.items()} == {
        name: rows.tobytes() for name, rows in other.items()
    }
    seeded = vary(corpus, tmp_path / "g", 1, seed=1)
    name = seeded.tracks[-1].track_id
    assert not np.array_equal(Store(tmp_path / "g")[name], one[name.replace("~1", "~0")])


def test_a_manifest_for_which_there_is_no_folder(tmp_path: Path) -> None:
    corpus = Manifest(make_tracks(3))
    write_features(tmp_path / "f", list(corpus))
    corpus.save(tmp_path / "corpus.parquet")
    out = tmp_path / "nowhere" / "v.parquet"
    refused = command("vary", tmp_path / "corpus.parquet", tmp_path / "f", "--out", out)
    assert refused.exit_code == 2
    assert f"--out {out}: folder {out.parent} does not exist" in refused.stderr
    assert len(Store(tmp_path / "f")) == len(corpus)


def test_no_features_of_a_training_track(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "f", 96, write_features(tmp_path / "g", []).about):
        pass
    with pytest.raises(TrainingError, match="f: no features of a training track"):
        vary(Manifest(make_tracks(3)), tmp_path / "f", 1)
