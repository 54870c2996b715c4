"""`auricle tag --out`: what is in the file, going on after an interrupt, what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from auricle.cli.tag_store import TagStore
from auricle.cli.tag_work import Tagged, TagOptions, tag_in_processes, try_file
from auricle.errors import ConfigError
from auricle.tagging import FileTagger
from tests.cli.command import assert_one_line, auricle
from tests.cli.test_tag import REFERENCE, lines, noise
from tests.tiny import LABELS, make_backbone, make_head


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, a head on it, and three files of different lengths."""
    folder = tmp_path_factory.mktemp("tagging")
    make_backbone(folder / "tiny")
    make_head(folder / "mood")
    for name, seconds in (("a", 2.0), ("b", 1.0), ("c", 1.5)):
        noise(folder / f"{name}.wav", seconds)
    return folder


def tagged(folder: Path, name: str) -> Tagged:
    options = TagOptions(
        str(folder / "tiny"), embeddings=True, heads=(str(folder / "mood"),), keep=True
    )
    result = try_file(folder / name, options)
    assert isinstance(result, Tagged), result
    return result


def test_npz_has_means_and_segments(folder: Path, tmp_path: Path) -> None:
    results = [tagged(folder, name) for name in ("a.wav", "b.wav")]
    with TagStore(tmp_path / "out.npz", resume=False) as store:
        for result in results:
            store.add(result)
    with np.load(tmp_path / "out.npz") as found:
        assert found["file"].tolist() == [str(each.file) for each in results]
        assert found["duration"].tolist() == [2.0, 1.0]
        assert tuple(found["labels"]) == LABELS
        counts = [each.count for each in results]
        assert found["segments"].tolist() == counts
        assert found["segment_file"].tolist() == [0] * counts[0] + [1] * counts[1]
        segments = [segment for each in results for segment in each.segments]
        np.testing.assert_array_equal(
            found["segment_activations"],
            np.array([list(each.activations.values()) for each in segments], np.float32),
        )
        vectors = np.stack([np.asarray(each.embeddings) for each in segments])
        np.testing.assert_array_equal(found["segment_embeddings"], vectors)
        np.testing.assert_allclose(
            found["embeddings"][0], vectors[: counts[0]].mean(axis=0), rtol=1e-5
        )
        np.testing.assert_allclose(
            found["activations"][1], list(results[1].means.values()), rtol=1e-6
        )
        head = found["heads/mood/segment_activations"]
        assert head.shape == (sum(counts), len(found["heads/mood/labels"]))
        assert json.loads(str(found["settings"]))["model"] == "tiny"


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test_results_survive_a_killed_run_and_are_added_to(
    folder: Path, tmp_path: Path, ending: str
) -> None:
    """As a whole is the same as one run, whatever the pieces were."""
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    whole, pieces = tmp_path / f"whole.{ending}", tmp_path / f"pieces.{ending}"
    results = [tagged(folder, f"{name}.wav") for name in "abc"]
    with TagStore(whole, resume=False) as store:
        for result in results:
            store.add(result)
    with TagStore(pieces, resume=False) as store:
        store.add(results[0])
    killed = TagStore(pieces, resume=True)
    killed.add(results[1])
    killed._flush()  # and the process is gone
    with pytest.raises(ConfigError, match="already exists"):
        TagStore(pieces, resume=False)
    with TagStore(pieces, resume=True) as store:
        assert [store.has(result.file) for result in results] == [True, True, False]
        store.add(results[2])
    assert [path.name for path in sorted(tmp_path.iterdir())] == [pieces.name, whole.name]
    if ending == "npz":
        with np.load(whole) as one, np.load(pieces) as other:
            assert set(one.files) == set(other.files)
            for name in one.files:
                np.testing.assert_array_equal(one[name], other[name], strict=True)
    else:
        import pyarrow.parquet

        one, other = (pyarrow.parquet.read_table(path) for path in (whole, pieces))
        assert one.equals(other)
        assert one.num_rows == 3
        row = one.slice(0, 1).to_pylist()[0]
        assert len(row["segment_embeddings"]) == row["segments"] == results[0].count
        assert row["heads.mood.activations"] == pytest.approx(
            list(results[0].heads["mood"].values())
        )


@pytest.mark.slow
def test_command_writes_resumes_and_reports(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    model = ("--model", folder / "tiny", "--head", folder / "mood")
    first = auricle("tag", folder / "a.wav", *model, "--out", out)
    assert (first.returncode, first.stdout) == (0, "")
    assert "1 file, " in first.stderr
    again = auricle("tag", folder / "a.wav", folder / "b.wav", *model, "--out", out, "--resume")
    assert again.returncode == 0
    assert f"{out} has 1 of 2 files already" in again.stderr
    with np.load(out) as found:
        assert len(found["file"]) == 2
    other = auricle(
        "tag",
        folder / "c.wav",
        "--model",
        folder / "tiny",
        "--out",
        out,
        "--resume",
        "--hop-size",
        5,
    )
    assert other.returncode == 2
    assert "made with different hop_size, heads" in other.stderr


def test_what_cannot_be_written_is_refused_at_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"must end with \.npz or \.parquet"):
        TagStore(tmp_path / "out.csv", resume=False)
    with pytest.raises(ConfigError, match="no folder"):
        TagStore(tmp_path / "missing/out.npz", resume=False)
    (tmp_path / "damaged.npz").write_text("no archive")
    with pytest.raises(ConfigError, match=r"damaged\.npz: cannot be read"):
        TagStore(tmp_path / "damaged.npz", resume=True)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"needs pyarrow: pip install 'auricle\[train\]'"):
        TagStore(tmp_path / "out.parquet", resume=False)


def test_jobs_give_the_same_and_name_the_bad_file(folder: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_text("this is not audio")
    options = TagOptions(str(folder / "tiny"), keep=True)
    files = [folder / "a.wav", bad, folder / "c.wav"]
    found = dict(tag_in_processes(files, options, 2))
    assert found.keys() == set(files)
    assert str(bad) in str(found[bad])
    for file in (files[0], files[2]):
        result, alone = found[file], try_file(file, options)
        assert isinstance(result, Tagged)
        assert isinstance(alone, Tagged)
        assert (result.means, result.segments) == (alone.means, alone.segments)


def test_jobs_pass_on_what_is_true_of_every_file(folder: Path) -> None:
    files = [folder / "a.wav", folder / "b.wav"]
    with pytest.raises(ConfigError, match="no-such-model"):
        list(tag_in_processes(files, TagOptions("no-such-model"), 2))


@pytest.mark.slow
def test_heads_and_top_k(folder: Path) -> None:
    command = ("tag", folder / "a.wav", "--model", folder / "tiny", "--head", folder / "mood")
    (summary,) = lines(auricle(*command, "--jsonl", "--top-k", 2).stdout)
    values = list(summary["activations"].values())
    assert len(values) == 2
    assert values == sorted(values, reverse=True)
    assert list(summary["heads"]) == ["mood"]
    _, *rows = auricle(*command, "--top-k", 1).stdout.splitlines()
    assert len(rows) == 3, "the strongest label of the model, the head's name, its strongest"
    assert rows[1] == "  mood:"
    missing = auricle("tag", folder / "a.wav", "--model", folder / "tiny", "--head", "moood")
    assert_one_line(missing, "moood", code=2)


def test_samples_are_tagged_as_the_file_is(folder: Path) -> None:
    from auricle.nodes.signal.decoder import Block, Decoder

    decoder = Decoder(REFERENCE)
    blocks = [each.samples for each in decoder.blocks(4096) if isinstance(each, Block)]
    samples, rate = np.concatenate(blocks), decoder.sample_rate
    decoder.close()
    model = str(folder / "tiny")
    expected = [each.activations for each in FileTagger(REFERENCE, model)]
    before = samples.copy()
    for given in (samples, samples[:, 0], samples.astype(np.float64) / 32768):
        tagger = FileTagger(given, model, sample_rate=rate)
        assert [each.activations for each in tagger] == expected
        assert tagger.input.duration_s == pytest.approx(12.4)
    np.testing.assert_array_equal(samples, before)


def test_samples_that_are_no_numbers_are_silenced_in_a_copy(folder: Path) -> None:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 16000).astype(np.float32)
    samples[100] = np.nan
    tagger = FileTagger(samples, str(folder / "tiny"), sample_rate=16000)
    assert next(iter(tagger)).flags == ("nan",)
    assert tagger.input.warnings == ["samples that are not numbers in 1 place, silenced"]
    assert np.isnan(samples[100])


def test_samples_of_a_wrong_form_are_refused(folder: Path) -> None:
    model, samples = str(folder / "tiny"), np.zeros(16000, np.float32)
    with pytest.raises(ConfigError, match="need a sample_rate"):
        FileTagger(samples, model)
    with pytest.raises(ConfigError, match="a file states its own"):
        FileTagger(REFERENCE, model, sample_rate=16000)
    for wrong in (samples.astype(np.int64), samples.reshape(1, 1, -1), samples[:0]):
        with pytest.raises(Exception, match="samples are"):
            FileTagger(wrong, model, sample_rate=16000)
    with pytest.raises(Exception, match="must be positive"):
        FileTagger(samples, model, sample_rate=0)
