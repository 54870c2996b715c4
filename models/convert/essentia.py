"""Making a model folder from the files that Essentia's site publishes: an ONNX file and a JSON.

The folder gets both unchanged, and a `card.json` with the JSON's fields and ours. Two of these need
care.

- Names. The JSON has the tensors of the TensorFlow graph (`model/Placeholder`,
  `PartitionedCall:1`), the ONNX file its own (`embeddings`, `activations`), or those of the graph
  with a number appended (`model/Identity:0`). The card has those of the ONNX file, with the JSON's
  purposes.
- The hash. If neither the table nor the user gives one, that of the first download is written into
  the card, and later checks and pulls require it.

`AURICLE_MODELS_URL` names a mirror to be used instead of the site.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from auricle.errors import ModelError
from auricle.models.card import Card, Dimension, Schema, TensorSpec, load_card, save_card
from auricle.models.download import Progress
from auricle.models.fetch import fetch
from auricle.models.files import sha256
from auricle.models.heads.head import load_head
from auricle.models.published import BASE_URL, LICENCE, Published

# For MAEST, the tokens after the seventh of its twelve blocks: they serve other tasks best
# (Alonso-Jimenez et al., ISMIR 2023), and the JSON says so. One form of the name counts blocks from
# one, the other from zero.
_ONNX_NAMES: Final = {
    "predictions": ("activations",),
    "embeddings": ("embeddings", "layer_07_embeddings", "layer_6_tokens"),
}


def install(
    model: Published, folder: Path, progress: Progress, expected: str | None = None
) -> Card:
    """Fill the empty `folder` with a published model.

    Args:
        model: Entry of the table of published models.
        folder: Empty folder to fill.
        progress: Function called with a line on the licence, each download, and an unknown hash.
        expected: sha256 of the ONNX file in hexadecimal digits; None if unknown.

    Returns:
        The card that was written.

    Raises:
        ModelError: A download failed or is not what it should be; the message begins with the URL.
        OSError: The folder cannot be written.
    """
    base = os.environ.get("AURICLE_MODELS_URL") or BASE_URL
    url = f"{base.rstrip('/')}/{model.path}"
    file = folder / f"{url.rpartition('/')[2]}.onnx"
    progress(f"{model.name}: licence {LICENCE}: not for commercial use")
    published = _fetch_card(f"{url}.json", file.with_suffix(".json"), progress)
    fetch(f"{url}.onnx", file, progress)
    found = sha256(file)
    if expected is None:
        progress(
            f"no hash of it is known: sha256 {found} is taken on trust, and checked from now on"
        )
    elif found != expected:
        raise ModelError(
            f"{url}.onnx: has sha256 {found}, expected {expected}; nothing was installed"
        )

    more: dict[str, Any] = {}
    if model.segments is not None:
        more = {"segment_size": model.segments.size, "segment_hop_size": model.segments.hop_size}
        more["front_end"] = model.segments.front_end
    card = published.model_copy(
        update={
            "name": model.name,
            "io": _schema(file, f"{url}.onnx", published.io),
            "file": file.name,
            "sha256": found,
            "licence": LICENCE,
            "source": f"{url}.onnx",
            **more,
        }
    )
    save_card(card, folder)
    if model.segments is None:
        try:
            load_head(folder)
        except ModelError as error:
            raise ModelError(
                f"{url}.onnx is not a head: {str(error).removeprefix(f'{file}: ')}"
            ) from error
    return card


def _fetch_card(url: str, file: Path, progress: Progress) -> Card:
    fetch(url, file, progress)
    try:
        return load_card(file)
    except ModelError as error:
        raise ModelError(f"{url}: {str(error).removeprefix(f'{file}: ')}") from error


def _schema(file: Path, url: str, declared: Schema) -> Schema:
    """Inputs and outputs of the ONNX file, with the purposes that the JSON declares."""
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own exceptions have no base class but this
        with file.open("rb") as start:
            begins = start.read(16)
        raise ModelError(
            f"{url}: not an ONNX model that can be loaded: it begins with {begins!r}"
        ) from error
    inputs = [(each.name, each.shape) for each in session.get_inputs()]
    outputs = [(each.name, each.shape) for each in session.get_outputs()]
    said = _declared_outputs([name for name, _ in outputs], declared)
    if "predictions" not in {spec.output_purpose for spec in said.values()}:
        names = ", ".join(name for name, _ in outputs)
        raise ModelError(f"{url}: none of its outputs are the JSON's predictions; it has {names}")
    return Schema(
        inputs=tuple(TensorSpec(name=name, shape=_shape(shape, ())) for name, shape in inputs),
        outputs=tuple(_output(name, shape, said.get(name)) for name, shape in outputs),
    )


def _declared_outputs(names: Sequence[str], declared: Schema) -> dict[str, TensorSpec]:
    """The JSON's outputs that can be identified, by their names in the ONNX file."""
    said: dict[str, TensorSpec] = {}
    for spec in declared.outputs:
        for name in (spec.name, f"{spec.name}:0", *_ONNX_NAMES.get(spec.output_purpose or "", ())):
            if name in names:
                said.setdefault(name, spec)
                break
    return said


def _output(name: str, shape: Sequence[Dimension | None], said: TensorSpec | None) -> TensorSpec:
    if said is None:
        return TensorSpec(name=name, shape=_shape(shape, ()))
    whole = _shape(shape, said.shape)
    tokens = said.output_purpose == "embeddings" and len(whole) == 3
    pooling = "cls_dist_mean" if tokens else None
    return said.model_copy(update={"name": name, "shape": whole, "pooling": pooling})


def _shape(found: Sequence[Dimension | None], said: Sequence[Dimension]) -> tuple[Dimension, ...]:
    """Sizes of the ONNX file; the last one from the JSON if the file leaves it open."""
    shape = [size if isinstance(size, int) else str(size or "any") for size in found]
    if said and shape and not isinstance(shape[-1], int):
        shape[-1] = said[-1]
    return tuple(shape)
