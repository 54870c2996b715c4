"""Transformers with patches left out: the numbers of the whole model given the same patches."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from auricle.engine.clock import SourceClock
from auricle.engine.context import Context
from auricle.engine.graph import Graph
from auricle.engine.overload import Ladder
from auricle.engine.scheduler import run_offline
from auricle.engine.stream import Stream, TokenType
from auricle.engine.testing import Player, Recorder
from auricle.errors import AuricleError, ConfigError, ProviderError
from auricle.models.card import load_card, save_card
from auricle.models.inference.patches import PatchInference, open_patch_session
from auricle.models.patchout import KEEP_F, KEEP_T, Patchout
from auricle.nodes.backbone import Backbone
from auricle.nodes.mel_spectrogram import MelSpectrogram
from auricle.nodes.predictions import FLOAT32
from tests.tiny import GRID, LEVELS, SIZE, make_backbone, make_transformer

NAMES = ["activations", "embeddings"]
TOLERANCE = 1e-6
"""Sums of 63 products at most, of the order of one, in another order."""

SETTINGS = [
    *LEVELS,
    Patchout(keep_every=5),
    Patchout(keep_every=2, drop_rows=(1,)),
    Patchout(keep_every=7),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_transformer(tmp_path_factory.mktemp("patches") / "tiny")


def inference(folder: Path, patchout: Patchout) -> PatchInference:
    return PatchInference(open_patch_session(folder, ("cpu",), 1), GRID, patchout)


def whole(folder: Path, segment: np.ndarray, patchout: Patchout) -> list[np.ndarray]:
    """Outputs of the model in one piece, given the patches to keep."""
    session = onnxruntime.InferenceSession(
        folder / "model.onnx", providers=["CPUExecutionProvider"]
    )
    columns, rows = GRID.kept(patchout)
    outputs: list[np.ndarray] = session.run(
        NAMES, {"mel": segment[None], KEEP_T: np.array(columns), KEEP_F: np.array(rows)}
    )
    return outputs


@pytest.mark.parametrize("patchout", SETTINGS, ids=str)
@pytest.mark.parametrize("hop", [10, 20, 70, 13, 200])
def test_equals_the_whole_model(folder: Path, patchout: Patchout, hop: int) -> None:
    mel = np.random.default_rng(0).normal(size=(1500, 96)).astype(np.float32)
    size = load_card(folder).segment_size
    assert size is not None
    patches = inference(folder, patchout)
    for position in range(0, len(mel) - size, hop):
        segment = mel[position : position + size]
        for found, expected in zip(
            patches.run(NAMES, position, segment), whole(folder, segment, patchout), strict=True
        ):
            np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("hop", "patchout", "a_segment"),
    [
        (20, Patchout(), 2),  # two new columns
        (20, Patchout(keep_every=2), 1),
        (10, Patchout(keep_every=2), 1),  # kept columns are those of the segment before the last
        (13, Patchout(), 7),  # no column begins where one did
    ],
)
def test_what_segments_share_is_projected_once(
    folder: Path, hop: int, patchout: Patchout, a_segment: int
) -> None:
    mel = np.zeros((400, 96), np.float32)
    patches = inference(folder, patchout)
    for position in (0, hop):
        patches.run(NAMES, position, mel[position : position + 76])
    for position in range(2 * hop, 10 * hop, hop):
        before = patches.projected
        patches.run(NAMES, position, mel[position : position + 76])
        assert patches.projected - before == a_segment


def test_a_hop_that_shares_no_patches_is_reported_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for hop in (20, 33, 33, 80):  # two strides, no whole number of them twice, more than a segment
        stand(Backbone("backbone", model=str(folder), hop_size=hop))
    (line,) = caplog.messages
    assert line.startswith(
        "tiny: hop_size=33 is not a multiple of the 10 frames from patch to patch"
    )


def test_another_setting_holds_from_the_next_segment_on(folder: Path) -> None:
    mel = np.random.default_rng(1).normal(size=(1000, 96)).astype(np.float32)
    patches = inference(folder, SETTINGS[0])
    for number, patchout in enumerate(SETTINGS * 2):
        patches.use(patchout)
        segment = mel[20 * number : 20 * number + 76]
        found = patches.run(NAMES, 20 * number, segment)
        np.testing.assert_allclose(
            found[1], whole(folder, segment, patchout)[1], rtol=0, atol=TOLERANCE
        )


def stand(backbone: Backbone) -> Backbone:
    """At the beginning of a stream of frames."""
    port = backbone.inputs["mel"]
    frames = TokenType(FLOAT32, port.axes or (), port.rate or Fraction(1))
    port.attach(Stream("mel.mel", frames, 200, SourceClock()))
    backbone.start()
    return backbone


def run(folder: Path, backbone: Backbone) -> np.ndarray:
    """Embeddings of five seconds of noise."""
    samples = np.random.default_rng(0).uniform(-1, 1, 80_000).astype(np.float32)
    recorder = Recorder("out")
    nodes = [Player("in", samples, (1600,)), MelSpectrogram("mel"), backbone, recorder]
    edges = [("in", "mel"), ("mel", "backbone"), ("backbone.embeddings", "out")]
    run_offline(Graph("g", nodes, edges))
    return np.array(list(recorder.tokens.values()))


def test_all_that_live_streams_may_be_asked_for_has_run_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, runs = make_transformer(tmp_path / "tiny"), []
    run = PatchInference._run

    def spy(self: PatchInference, names: list[str], patches: np.ndarray, *kept: np.ndarray) -> Any:
        runs.append(patches.shape[1:3])
        return run(self, names, patches, *kept)

    monkeypatch.setattr(PatchInference, "_run", spy)
    shapes = [tuple(len(kept) for kept in reversed(GRID.kept(level))) for level in LEVELS]
    stand(Backbone("file", model=str(folder), patchout="half"))
    assert runs == [shapes[1]]
    for name in ("one", "other"):
        backbone = Backbone(name, model=str(folder))
        backbone.context = Context(live=True)
        stand(backbone)
    assert runs == [shapes[1], shapes[0], shapes[2]]


def test_level_of_the_card_equals_its_setting(folder: Path) -> None:
    named = run(folder, Backbone("backbone", model=str(folder), patchout="least"))
    given = Backbone(
        "backbone", model=str(folder), patchout={"keep_every": 3, "drop_rows": [0, 7, 8]}
    )
    assert named.shape[1:] == (SIZE,)
    np.testing.assert_array_equal(named, run(folder, given))
    full = run(folder, Backbone("backbone", model=str(folder)))
    assert full.shape == named.shape
    assert np.abs(full - named).max() > 0.01, "the card's first level is the default"


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"patchout": "most"}, "no patchout level 'most'; levels are: full, half, least"),
        (
            {"patchout": {"keep_every": 0}},
            r"backbone: patchout\.keep_every=0: [^;=]* or equal to 1$",
        ),
        (
            {"patchout": {"keep_evry": 2}},
            r"backbone: no parameter 'patchout.keep_evry' \(did you mean keep_every\?\); ",
        ),
        ({"patchout": 3}, "backbone: patchout=3: a mapping of parameters is needed$"),
        ({"patchout": {"drop_rows": list(range(9))}}, "all 9 rows are dropped"),
        ({"patchout": {"drop_rows": [9]}}, "no row 9; rows are 0 to 8"),
        ({"patchout": "least", "adaptive": True}, "no level is cheaper than least"),
    ],
)
def test_what_cannot_be_kept_is_refused_in_one_line(
    folder: Path, params: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Backbone("backbone", model=str(folder), **params)
    assert str(caught.value).startswith("backbone: ")
    assert "\n" not in str(caught.value)


def with_card(folder: Path, **fields: Any) -> Path:
    """The model with a card that says something else."""
    save_card(load_card(folder).model_copy(update=fields), folder)
    return folder


GRIDS = [
    ({"columns": 8}, 86, "it has fewer than 8 columns, or 9 rows"),
    ({"columns": 6}, 66, "it has more than 6 columns"),
    ({"rows": 8, "size": 26}, 86, "it has more than 8 rows"),
    ({"columns": 4, "rows": 5, "stride": 20}, 76, "its columns are not 20 frames apart"),
    ({"size": 8}, 76, "no 9 rows of patches of 8 frames and bands, 10 apart"),
    (
        {"columns": 13, "rows": 17, "stride": 5},
        76,
        "no 17 rows of patches of 16 frames and bands, 5 apart",
    ),
]
"""Grids that go with their segments, and are not the file's."""


@pytest.mark.parametrize(("other", "segment_size", "message"), GRIDS)
def test_a_grid_that_is_not_the_files_is_refused_in_one_line(
    tmp_path: Path, other: dict[str, int], segment_size: int, message: str
) -> None:
    grid = GRID.model_copy(update=other)
    folder = with_card(
        make_transformer(tmp_path / "tiny"), patch_grid=grid, segment_size=segment_size, patchout=()
    )
    file = folder / "model.onnx"
    with pytest.raises(AuricleError) as caught:
        stand(Backbone("backbone", model=str(folder)))
    assert str(caught.value) == f"backbone: tiny: patch_grid is not that of {file}: {message}"


def test_the_files_own_grid_is_found_out_without_a_word(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stand(Backbone("backbone", model=str(make_transformer(tmp_path / "tiny"))))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("params", [{}, {"batch": 2}, {"incremental": False}], ids=str)
def test_a_card_without_the_grid_is_refused_in_one_line(
    tmp_path: Path, params: dict[str, Any]
) -> None:
    folder = with_card(make_transformer(tmp_path / "tiny"), patch_grid=None, patchout=())
    with pytest.raises(AuricleError) as caught:
        stand(Backbone("backbone", model=str(folder), **params))
    file = folder / "model.onnx"
    assert (
        str(caught.value)
        == f"backbone: tiny: its card has no patch_grid, and {file} takes keep_t and keep_f"
    )


def test_what_cannot_be_run_once_names_the_file(tmp_path: Path) -> None:
    folder = make_transformer(tmp_path / "tiny")
    with pytest.raises(ProviderError) as caught:
        inference(folder, LEVELS[0]).warm(["none"], LEVELS[1:])
    assert "\n" not in str(caught.value)
    start = f"tiny: {folder / 'model.onnx'}, split: patchout half cannot be run: "
    assert str(caught.value).startswith(start)


def test_other_models_have_no_patches(tmp_path: Path) -> None:
    plain = str(make_backbone(tmp_path / "plain"))
    for params in ({"patchout": {"keep_every": 2}}, {"adaptive": True}):
        with pytest.raises(ConfigError, match="not a model whose patches can be left out"):
            Backbone("backbone", model=plain, **params)


def test_changed_while_it_runs(folder: Path) -> None:
    backbone = stand(Backbone("backbone", model=str(folder)))
    mel = np.random.default_rng(3).normal(size=(76, 96)).astype(np.float32)

    def embedding() -> np.ndarray:
        outputs = {
            "predictions": np.empty(1, object),
            "embeddings": np.empty((1, SIZE), np.float32),
        }
        backbone.compute(mel, outputs)
        return outputs["embeddings"]

    for change in ("half", {"keep_every": 4}, "full"):
        patchout = change if isinstance(change, str) else Patchout.model_validate(change)
        backbone.change_patchout(change)()
        level = next((each for each in LEVELS if each.name == patchout), patchout)
        assert isinstance(level, Patchout)
        np.testing.assert_allclose(
            embedding(), whole(folder, mel, level)[1], rtol=0, atol=TOLERANCE
        )
        assert backbone.level == str(patchout)
    with pytest.raises(ConfigError, match="no patchout level 'none'"):
        backbone.change_patchout("none")


def test_adaptive_goes_down_the_levels_before_any_segment_is_left_out(folder: Path) -> None:
    ladder = Ladder()
    backbone = Backbone("backbone", model=str(folder), adaptive=True)
    place = ladder.join()
    backbone.context = Context(live=True, place=place)
    stand(backbone)
    outputs = {"predictions": np.empty(1, object), "embeddings": np.empty((1, SIZE), np.float32)}
    levels = []
    for rung in range(5):
        ladder.rung = rung
        left_out, part = place.leave_out(1), ladder.part
        backbone.compute(np.ones((76, 96), np.float32), outputs)
        levels.append((left_out, part, backbone.level))
    assert [level for *_, level in levels] == ["full", "half", "least", "least", "least"]
    assert [part for _, part, _ in levels] == [1, 1, 1, 2, 3]
    assert [left_out for left_out, *_ in levels[:3]] == [0, 0, 0]
    backbone.change_patchout(adaptive=False)()
    assert ladder.part == 3, "no more is left out than before"
