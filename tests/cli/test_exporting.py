"""From a checkpoint to a model folder: what cannot be made is said before the work is done."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

torch = pytest.importorskip(
    "torch", reason="exports are made with torch: pip install 'auricle[train]'"
)
pytest.importorskip(
    "onnxscript", reason="exports are made with onnxscript: pip install 'auricle[train]'"
)

from auricle.cli import exporting  # noqa: E402
from auricle.cli.models import models  # noqa: E402
from auricle.errors import ModelError  # noqa: E402
from auricle.models.networks.maest import KINDS, Maest, MaestConfig  # noqa: E402

CONFIG = MaestConfig(312, n_classes=2, width=64, depth=2, n_heads=2)


def export(checkpoint: Path, folder: Path, **params: Any) -> None:
    exporting.export_checkpoint(
        checkpoint, folder, **{"name": "x", "block": 1, "kinds": KINDS, "labels": None, **params}
    )


def with_file(folder: Path, params: dict[str, Any]) -> dict[str, Any]:
    """The same, with the labels in a file."""
    if "labels" not in params:
        return params
    (folder / "labels.txt").write_text(params["labels"])
    return params | {"labels": folder / "labels.txt"}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"kinds": ("cls", "mean")}, "x: kinds="),
        ({"kinds": ("cls", "dist", "cls")}, r"x: kinds=.* must be of cls, dist, avg, each once"),
        ({"kinds": ()}, "x: neither labels nor kinds"),
        ({"labels": "a\nb\na\n"}, "x: label 'a' occurs twice"),
        ({"precision": "int8", "program": True}, "x: int8 is for CPUs"),
    ],
)
def test_what_no_network_can_give_is_refused_before_the_checkpoint_is_read(
    tmp_path: Path, params: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=f"^{message}"):
        export(tmp_path / "there is none.ckpt", tmp_path / "x", **with_file(tmp_path, params))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"block": 2}, "x: block=2 must be from 0 to 1"),
        ({"labels": "a\nb\nc\n"}, "x: 3 labels; the network has 2"),
        ({"heads": 3}, r".*maest\.ckpt: MAEST: width=64 must be a multiple of n_heads=3"),
    ],
)
def test_what_the_network_cannot_give_is_refused_before_the_music_is_heard(
    tmp_path: Path, params: dict[str, Any], message: str
) -> None:
    torch.save(Maest(CONFIG).state_dict(), tmp_path / "maest.ckpt")
    params = with_file(tmp_path, params)
    with pytest.raises(ModelError, match=f"^{message}"):
        export(
            tmp_path / "maest.ckpt", tmp_path / "x", **params, try_on=tmp_path / "there is none.wav"
        )


@pytest.mark.parametrize("tokens", ["cls,none", "none,none", "cls,", ""])
def test_none_stands_alone(tmp_path: Path, tokens: str) -> None:
    (tmp_path / "maest.ckpt").touch()
    arguments = ["export", str(tmp_path / "maest.ckpt"), str(tmp_path / "x"), "--tokens", tokens]
    result = CliRunner().invoke(models, arguments)
    assert isinstance(result.exception, ModelError)
    assert re.match(r"x: kinds=.* must be of cls, dist, avg", str(result.exception))


def test_labels_that_are_no_text_are_named(tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.write_bytes("Schlager\nTränen\n".encode("latin-1"))
    with pytest.raises(ModelError, match=r"labels\.txt: not a text file in UTF-8$"):
        export(tmp_path / "there is none.ckpt", tmp_path / "x", labels=file)


@pytest.mark.parametrize(
    "content", ['{"classes": "abc"}', '{"classes": {"a": 0}}', '["a"]', "{}", "abc"]
)
def test_classes_that_are_no_list_are_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "labels.json"
    file.write_text(content)
    with pytest.raises(ModelError, match=r"labels\.json: not a JSON file with a list `classes`$"):
        export(tmp_path / "there is none.ckpt", tmp_path / "x", labels=file)
