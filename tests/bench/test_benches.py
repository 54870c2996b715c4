"""Each measurement with little work: its rows, and that its error column is right."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from auricle.engine.ring import Ring
from auricle.errors import ConfigError, InputError
from auricle.models.heads.bank import HeadBank
from auricle.nodes.signal.mel import mel_spectrogram
from bench.audio import clip, decode, write_wav
from bench.measures import backbone, heads, mel, pipeline, ring, wire
from bench.replay import Kept, Replay, run_through
from bench.report import Report
from tests.bench.cells import number, spread
from tests.conftest import ROOT
from tests.tiny import make_backbone

REFERENCE = ROOT / "tests/data/reference.flac"


def errors(report: Report) -> list[float]:
    found = [row.get("error") for row in report.rows.values()]
    return [number(error) for error in found if error is not None]


# -- ring ------------------------------------------------------------------------------------------


def test_ring() -> None:
    report = ring.measure(window_s=0.5, runs=2, run_s=0.001)
    assert list(report.rows) == ["np.roll", "Ring", "Stream"]
    assert errors(report) == [0, 0, 0]
    assert spread(report.rows["np.roll"]["np.roll's time / its"]).median == 1
    assert report.wrong == []


def test_a_ring_that_is_not_mirrored_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ring, "mirror", lambda self, start, count: None)
    report = ring.measure(window_s=0.5, runs=1, run_s=0.001)
    assert errors(report)[0] == 0
    assert min(errors(report)[1:]) > 0.1
    assert len(report.wrong) == 2


# -- mel -------------------------------------------------------------------------------------------


def test_mel_without_essentia(tmp_path: Path) -> None:
    report = mel.measure(environment=tmp_path, runs=1, run_s=0.001)
    assert list(report.rows) == [*mel.OURS.values(), mel.NODE, *mel.NUMPY.values()]
    # What test_mel.py allows against the formulas.
    assert max(errors(report)) < 3e-5
    assert min(errors(report)) > 0
    assert any("make peers" in note for note in report.notes)
    met = [target.met for target in report.targets]
    assert met == [None, None, None, None, True, None]


def test_a_wrong_mel_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        mel, "mel_spectrogram", lambda *args: mel_spectrogram(*args) + np.float32(0.01)
    )
    report = mel.measure(environment=tmp_path, runs=1, run_s=0.001)
    assert report.rows[mel.NODE]["error"] == pytest.approx(0.01, abs=1e-4)
    assert len(report.wrong) == 1


# -- backbone and heads ----------------------------------------------------------------------------


def test_backbone(tmp_path: Path) -> None:
    model = str(make_backbone(tmp_path / "tiny"))
    report = backbone.measure(model, hops=(8, 40), segments=5, runs=2)
    assert list(report.rows)[:3] == [
        backbone.PLAIN,
        "session.run, 2 threads",
        "2 workers, 1 thread each",
    ]
    hops = {name: row["hop"] for name, row in report.rows.items() if "hop" in row}
    assert hops == {
        "hop 8, whole segments": 8,
        "hop 8, shared work": 8,
        "hop 40, whole segments": 40,
        "hop 40, shared work": 40,
    }
    assert max(errors(report)) <= backbone.TOLERANCE
    assert report.wrong == []
    plain = report.rows[backbone.PLAIN]
    assert spread(plain["segments/s"]).median == pytest.approx(
        1e3 / spread(plain["ms a segment"]).median
    )


def test_heads(tmp_path: Path) -> None:
    model = str(make_backbone(tmp_path / "tiny"))
    report = heads.measure(model, count=5, segments=6, runs=2)
    both = report.rows["backbone and 5 heads"]
    assert 0 <= number(both["error"]) < 1e-6
    assert report.wrong == []
    assert spread(report.rows["... the heads node alone"]["overhead %"]).low > 0


def test_heads_that_disturb_each_other_are_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = str(make_backbone(tmp_path / "tiny"))
    plain = HeadBank.__call__
    monkeypatch.setattr(
        HeadBank, "__call__", lambda self, x: [each + np.float32(0.01) for each in plain(self, x)]
    )
    report = heads.measure(model, count=3, segments=4, runs=1)
    assert report.rows["backbone and 3 heads"]["error"] == pytest.approx(0.01, abs=1e-5)
    assert [target.what for target in report.wrong] == ["difference from each head by itself"]


def test_heads_are_of_all_sizes(tmp_path: Path) -> None:
    made = heads.make_heads(tmp_path, 50, 8, "tiny")
    assert [made[0].output_size, made[-1].output_size] == [2, 50]
    assert {head.input_size for head in made} == {8}
    assert {head.layers[0].size for head in made} == {100}


# -- pipeline --------------------------------------------------------------------------------------


def test_pipeline_parts_add_up(tmp_path: Path) -> None:
    model = str(make_backbone(tmp_path / "tiny"))
    report = pipeline.measure(REFERENCE, model, runs=1)
    rows = report.rows
    assert report.settings["audio_s"] == 12.4
    assert (report.settings["segments"], report.settings["hop_size"]) == (
        (776 - 40) // 13 + 1,
        13,
    )
    whole = rows[pipeline.WHOLE]
    seconds = [spread(rows[part]["s"]).median for part in pipeline.PARTS]
    shares = [spread(rows[part]["% of the time"]).median for part in pipeline.PARTS]
    assert sum(seconds) == pytest.approx(spread(whole["s"]).median)
    assert sum(shares) == pytest.approx(100)
    assert spread(whole["x real time"]).median == pytest.approx(12.4 / spread(whole["s"]).median)
    # The same products over the same frames, to rounding.
    assert number(whole["error"]) < 1e-5


def test_pipeline_resamples_as_the_whole_file_would(tmp_path: Path) -> None:
    model = str(make_backbone(tmp_path / "tiny"))
    report = pipeline.measure(ROOT / "graphs/demo/demo.ogg", model, hop_size=20, runs=1)
    assert number(report.rows[pipeline.WHOLE]["error"]) < pipeline.TOLERANCE
    assert report.settings["hop_size"] == 20


def test_a_wrong_pipeline_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = str(make_backbone(tmp_path / "tiny"))
    monkeypatch.setattr(pipeline, "mel_spectrogram", lambda *args: 0.5 * mel_spectrogram(*args))
    report = pipeline.measure(REFERENCE, model, runs=1)
    assert len(report.wrong) == 1


# -- wire ------------------------------------------------------------------------------------------


def test_wire() -> None:
    report = wire.measure(messages=20, burst=50, labels=3, runs=1, drain_s=0.0)
    assert list(report.rows) == [wire.OURS, wire.BARE]
    assert errors(report) == [0, 0]
    assert {name: len(values) for name, values in report.series.items()} == {
        wire.OURS: 20,
        wire.BARE: 20,
    }
    assert report.wrong == []
    ours = report.rows[wire.OURS]
    assert (
        0 < spread(ours["p50 us"]).median <= spread(ours["p99 us"]).median <= number(ours["max us"])
    )


class Leaking(wire.BarePublisher):
    """Loses every fifth message but the last of a round, and maybe its number, too."""

    numbered = True

    def publish(self, message: dict[str, Any]) -> None:
        if message["index"] % 5 == 4 and not message["flags"]:
            self.seq += self.numbered
        else:
            super().publish(message)


class LeakingUnseen(Leaking):
    numbered = False


@pytest.mark.parametrize("publisher", [Leaking, LeakingUnseen])
def test_wire_knows_of_losses_by_the_numbers(publisher: type[Leaking]) -> None:
    publishers: dict[str, type[wire.Publisher]] = {
        wire.OURS: wire.ServerPublisher,
        wire.BARE: publisher,
    }
    report = wire.measure(20, 50, 3, runs=1, drain_s=0.0, publishers=publishers)
    assert spread(report.rows[wire.OURS]["lost at full speed %"]).median == 0
    assert spread(report.rows[wire.BARE]["lost at full speed %"]).median == pytest.approx(20, abs=2)
    assert len(report.wrong) == (0 if publisher.numbered else 1)


class Forgetful(wire.BarePublisher):
    """Loses the first message that ends a round, each time, but not its number."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: set[int] = set()

    def publish(self, message: dict[str, Any]) -> None:
        if message["flags"] and message["rung"] not in self.ended:
            self.ended.add(message["rung"])
            self.seq += 1
        else:
            super().publish(message)


def test_a_round_whose_last_message_was_lost_ends_with_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wire, "AGAIN_S", 0.01)
    report = wire.measure(20, 50, 3, runs=1, drain_s=0.0, publishers={wire.BARE: Forgetful})
    assert report.wrong == []
    assert spread(report.rows[wire.BARE]["lost at full speed %"]).median == 0


def test_wire_at_full_speed() -> None:
    # More than may wait for a subscriber and for the socket: some cannot be kept, and all of them
    # are known to be lost, however long the subscriber takes.
    report = wire.measure(messages=10, burst=40000, labels=50, runs=1, drain_s=0.0)
    assert report.wrong == []


# -- what they stand on ----------------------------------------------------------------------------


def test_a_clip_of_any_length_and_a_file_as_it_is(tmp_path: Path) -> None:
    with clip(None, 31.5) as path:
        with av.open(str(path)) as container:
            stream = container.streams.audio[0]
            assert (stream.rate, stream.channels, stream.codec_context.name) == (
                16000,
                1,
                "pcm_s16le",
            )
        samples = decode(path)
        assert len(samples) == round(31.5 * 16000)
        once = 26 * 16000
        np.testing.assert_array_equal(samples[once:], samples[: len(samples) - once])
    assert not path.exists()
    with clip(tmp_path / "mine.ogg", 5) as path:
        assert path == tmp_path / "mine.ogg"


def test_wav_keeps_what_16_bits_keep(tmp_path: Path) -> None:
    samples = np.linspace(-1, 1, 5000, dtype=np.float32)
    write_wav(tmp_path / "a.wav", samples)
    np.testing.assert_allclose(decode(tmp_path / "a.wav"), samples, rtol=0, atol=1 / 16384)


def test_what_cannot_be_decoded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no\.flac"):
        decode(tmp_path / "no.flac")
    (tmp_path / "text.flac").write_text("words")
    with pytest.raises(InputError, match=r"text\.flac"):
        decode(tmp_path / "text.flac")


def test_replay_hands_over_every_token() -> None:
    tokens = np.arange(1000, dtype=np.float32)
    kept = Kept("kept", None)
    run = run_through([Replay("source", tokens, (), Fraction(100), 7), kept], [("source", "kept")])
    np.testing.assert_array_equal(kept.tokens, tokens)
    assert run.spent_ns["kept"] > 0


def test_a_model_without_embeddings_takes_no_heads(tmp_path: Path) -> None:
    folder = make_backbone(tmp_path / "tiny")
    card = json.loads((folder / "card.json").read_text())
    del card["schema"]["outputs"][1]
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.raises(ConfigError, match="no embeddings"):
        heads.measure(str(folder), count=1, segments=1, runs=1)
