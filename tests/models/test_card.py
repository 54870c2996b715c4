"""Model cards: ours go out and come back, Essentia's load, wrong ones are named in one line."""

import json
from pathlib import Path
from typing import Any

import pytest

from auricle.errors import ModelError
from auricle.models.card import Card, FrontEndSpec, load_card, model_path, save_card
from auricle.models.patchout import PatchGrid, PatchoutLevel

# In the form of the metadata files on Essentia's model site, with some keys that we have no
# use for.
ESSENTIA_HEAD: dict[str, Any] = {
    "name": "mood happy",
    "type": "multi-class classifier",
    "link": "https://example.org/mood_happy-msd-musicnn-1.pb",
    "version": "1",
    "description": "classification of music by mood",
    "author": "somebody",
    "email": "somebody@example.org",
    "release_date": "2023-04-27",
    "framework": "tensorflow",
    "framework_version": "2.8.0",
    "classes": ["happy", "non_happy"],
    "model_types": ["frozen_model", "onnx"],
    "dataset": {
        "name": "in-house",
        "size": "302 tracks",
        "metrics": {"5-fold_cross_validation": 0.81},
    },
    "schema": {
        "inputs": [{"name": "model/Placeholder", "type": "float", "shape": [200]}],
        "outputs": [
            {
                "name": "model/Softmax",
                "type": "float",
                "shape": [2],
                "op": "Softmax",
                "output_purpose": "predictions",
            },
            {
                "name": "model/dense/BiasAdd",
                "type": "float",
                "shape": [100],
                "op": "fully connected",
            },
        ],
    },
    "citation": "@inproceedings{...}",
    "inference": {
        "sample_rate": 16000,
        "algorithm": "TensorflowPredict2D",
        "embedding_model": {
            "algorithm": "TensorflowPredictMusiCNN",
            "model_name": "msd-musicnn-1",
            "link": "https://example.org/msd-musicnn-1.pb",
        },
    },
}


GRID = {"patch_grid": {"rows": 2, "columns": 5, "size": 16, "stride": 10}}


BANDS = {
    "name": "musicnn",
    "sample_rate": 16000,
    "frame_size": 512,
    "hop_size": 256,
    "n_mels": 96,
    "window": "hann symmetric",
    "compression": "log10(1 + 10000 x)",
}


def write(folder: Path, content: object, name: str = "card.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_essentias_own_file_loads(tmp_path: Path) -> None:
    card = load_card(write(tmp_path, ESSENTIA_HEAD, "mood_happy-msd-musicnn-1.json"))
    assert card.classes == ("happy", "non_happy")
    assert card.input_size == 200
    predictions = card.output("predictions")
    assert predictions is not None
    assert (predictions.name, predictions.op) == ("model/Softmax", "Softmax")
    assert card.inference.embedding_model is not None
    assert card.inference.embedding_model.model_name == "msd-musicnn-1"
    assert card.front_end is None


def test_batch_axis_may_be_named(tmp_path: Path) -> None:
    content = json.loads(json.dumps(ESSENTIA_HEAD))
    content["schema"]["inputs"][0]["shape"] = ["batch_size", 1280]
    assert load_card(write(tmp_path, content)).input_size == 1280


def test_our_card_comes_back_as_it_was(tmp_path: Path) -> None:
    card = Card.model_validate(ESSENTIA_HEAD).model_copy(
        update={
            "file": "model.onnx",
            "sha256": "0" * 64,
            "licence": "ISC",
            "source": "a checkpoint",
            "segment_size": 187,
            "segment_hop_size": 93,
            "patch_grid": PatchGrid(rows=9, columns=18, size=16, stride=10),
            "patchout": (
                PatchoutLevel(name="full"),
                PatchoutLevel(name="t3", keep_every=3, drop_rows=(0, 8)),
            ),
            "layer_activations": ("relu", "softmax"),
            "front_end": FrontEndSpec(
                name="musicnn",
                sample_rate=16000,
                frame_size=512,
                hop_size=256,
                n_mels=96,
                window="hann symmetric",
                compression="log10(1 + 10000 x)",
                mean=2.06,
                std=2.5,
            ),
        }
    )
    path = save_card(card, tmp_path)
    assert load_card(tmp_path) == card
    # The published form: `schema`, not the name that it has in the code.
    assert set(json.loads(path.read_text())["schema"]) == {"inputs", "outputs"}


def test_saving_that_fails_leaves_the_old_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = Card.model_validate(ESSENTIA_HEAD)
    save_card(card, tmp_path)

    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="No space left"):
        save_card(card.model_copy(update={"name": "other"}), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["card.json"]
    assert load_card(tmp_path).name == "mood happy"


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_numbers_that_json_cannot_hold_are_not_written(tmp_path: Path, value: float) -> None:
    card = Card.model_validate(
        ESSENTIA_HEAD | {"deviation": {"cosine": value, "tried_on": "noise"}}
    )
    with pytest.raises(
        ModelError, match=r"^model 'mood happy': a number of its card is not finite$"
    ):
        save_card(card, tmp_path)
    assert not list(tmp_path.iterdir())


def without(key: str) -> dict[str, Any]:
    return {k: v for k, v in ESSENTIA_HEAD.items() if k != key}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not a JSON file"),
        ("", "not a JSON file"),
        ([1, 2], "a mapping of keys is needed"),
        (without("classes"), "key 'classes' is missing"),
        (without("schema"), "key 'schema' is missing"),
        (
            ESSENTIA_HEAD | {"classes": []},
            "'classes' is empty, and no output has embeddings either",
        ),
        (
            ESSENTIA_HEAD | {"schema": {"inputs": []}},
            r"schema.inputs=.*: .*; key 'schema.outputs' is missing",
        ),
        (ESSENTIA_HEAD | {"classes": ["a", "{b}", "a", "{b}"]}, "'classes': 'a' occurs twice$"),
        (ESSENTIA_HEAD | {"classes": ["{b}", "{b}"]}, "'classes': '{b}' occurs twice$"),
        (ESSENTIA_HEAD | {"inference": {}}, "key 'inference.sample_rate' is missing"),
        (
            ESSENTIA_HEAD | {"inference": {"sample_rate": 0}},
            "inference.sample_rate=.*: .*greater than 0",
        ),
        (ESSENTIA_HEAD | {"segment_size": "long"}, "segment_size=.*: .*valid integer"),
        (
            ESSENTIA_HEAD | {"front_end": {"name": "cqt"}},
            "front_end.name=.*: .*'musicnn' or 'vggish'",
        ),
        (ESSENTIA_HEAD | {"sha256": "abc"}, "sha256=.*: .*should match pattern"),
        (ESSENTIA_HEAD | {"file": "../elsewhere.onnx"}, "file=.*: .*should match pattern"),
        (
            ESSENTIA_HEAD | {"patchout": [{"name": "a", "every": 3}]},
            r"no key 'patchout.0.every'",
        ),
        (
            ESSENTIA_HEAD | {"patchout": [{"name": "a", "keep_every": 0}]},
            r"patchout.0.keep_every=.*: .*greater",
        ),
        (ESSENTIA_HEAD | {"patchout": [{"name": "a"}]}, "'patchout': levels, and no 'patch_grid'"),
        (
            ESSENTIA_HEAD | {"patchout": [{"name": "a"}] * 2},
            "'patchout': two levels have the same name",
        ),
        (
            ESSENTIA_HEAD | GRID | {"segment_size": 66},
            "'patch_grid.columns': 5, but 'segment_size' of 66 has 6 by size and stride",
        ),
        (
            ESSENTIA_HEAD | GRID | {"front_end": BANDS},
            "'patch_grid.rows': 2, but 'n_mels' of 96 has 9 by size and stride",
        ),
        (
            ESSENTIA_HEAD | GRID | {"patchout": [{"name": "a", "drop_rows": [0, 1]}]},
            "'patchout': level a: drop_rows: all 2 rows are dropped",
        ),
        (
            ESSENTIA_HEAD | GRID | {"patchout": [{"name": "a", "drop_rows": [2]}]},
            "'patchout': level a: drop_rows: no row 2; rows are 0 to 1",
        ),
    ],
)
def test_a_wrong_card_is_one_line_with_file_and_key(
    tmp_path: Path, content: object, message: str
) -> None:
    path = write(tmp_path, content)
    with pytest.raises(ModelError, match=message) as caught:
        load_card(tmp_path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_bytes_that_are_not_text(tmp_path: Path) -> None:
    (tmp_path / "card.json").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(ModelError, match="not a JSON file"):
        load_card(tmp_path)


def test_where_there_is_no_card(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nowhere: no such file or folder"):
        load_card(tmp_path / "nowhere")
    with pytest.raises(ModelError, match=r"no model card; a model folder holds a card\.json"):
        load_card(tmp_path)
    for name in ("a.json", "b.json"):
        write(tmp_path, ESSENTIA_HEAD, name)
    with pytest.raises(ModelError, match="2 JSON files, none of them the card"):
        load_card(tmp_path)


def test_model_file_beside_the_card(tmp_path: Path) -> None:
    path = write(tmp_path, ESSENTIA_HEAD, "mood_happy-msd-musicnn-1.json")
    card = load_card(path)
    with pytest.raises(
        ModelError, match=r"no mood_happy-msd-musicnn-1\.onnx nor mood_happy-msd-musicnn-1\.saf"
    ):
        model_path(path, card)
    (tmp_path / "mood_happy-msd-musicnn-1.onnx").touch()
    assert model_path(path, card) == model_path(tmp_path, card) == path.with_suffix(".onnx")
