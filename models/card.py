"""The model card: a model's inputs, outputs and origin, as JSON beside the model file.

The form is that of the JSON files on Essentia's model site (https://essentia.upf.edu/models.html):
`name`, `type`, `version`, `classes`, `schema` and so on. Ours adds the front end, segment sizes,
patchout levels, the model file with its hash, the licence and the source. All additions are
optional, so Essentia's own files load as they are; keys we do not know are ignored.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from auricle.errors import ModelError, describe_invalid
from auricle.models.files import sha256, write_atomically
from auricle.models.front_end import FRONT_ENDS, FrontEnd, FrontEndName
from auricle.models.patchout import PatchGrid, PatchoutLevel

CARD_NAME: Final = "card.json"
MODEL_SUFFIXES: Final = (".onnx", ".safetensors")

OUTPUT_PURPOSES: Final = {"embeddings": "embeddings", "activations": "predictions"}
"""The `output_purpose` in cards of each output of our own files, by its name."""

Activation = Literal["linear", "relu", "sigmoid", "softmax"]
Size = Annotated[int, Field(gt=0)]
# Essentia's cards name free dimensions ("batch_size") or leave them out.
Dimension = int | str


FILE_NAME = r"^(?:[^./\\\x00]|\.[^./\\\x00])[^/\\\x00]*$"
"""Pattern of the names of files beside a card: not `.` or `..`, which are folders."""


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, allow_inf_nan=False
    )


class TensorSpec(_Part):
    """One input or output of the model file."""

    name: str
    type: str = "float"
    shape: tuple[Dimension, ...] = ()
    op: str | None = None
    output_purpose: str | None = None
    # For embeddings that are tokens (batch, tokens, size): how one vector is made of them.
    # "cls_dist_mean" concatenates the two special tokens and the mean of all others.
    pooling: Literal["cls_dist_mean"] | None = None


class Schema(_Part):
    """Inputs and outputs, in the order of the model file."""

    inputs: tuple[TensorSpec, ...] = Field(min_length=1)
    outputs: tuple[TensorSpec, ...] = Field(min_length=1)


class EmbeddingModel(_Part):
    """For a head: the backbone whose embeddings it takes, and the hash of its file if known."""

    model_name: str
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    algorithm: str | None = None
    link: str | None = None


class InferenceSpec(_Part):
    """How the model is run: sample rate in Hz, and the Essentia algorithm that does the same."""

    sample_rate: Size
    algorithm: str | None = None
    embedding_model: EmbeddingModel | None = None


class FrontEndSpec(BaseModel):
    """The features a backbone takes: a front end, its numbers repeated, and the normalisation.

    The model is fed (mel - mean) / std.

    Attributes:
        name: Name of the front end.
        sample_rate: Sample rate, Hz.
        frame_size: Samples of an analysis frame.
        hop_size: Samples from one frame to the next.
        n_mels: Bands of a frame.
        window: Analysis window.
        compression: Compression as a formula.
        mean: Value subtracted from the frames.
        std: Value that they are divided by after that.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: FrontEndName
    sample_rate: Size
    frame_size: Size
    hop_size: Size
    n_mels: Size
    window: str
    compression: str
    mean: float = 0.0
    std: Annotated[float, Field(gt=0)] = 1.0

    @classmethod
    def of(cls, name: FrontEndName, mean: float = 0.0, std: float = 1.0) -> Self:
        """The specification of a front end, for frames normalised as (mel - mean) / std."""
        defined = FRONT_ENDS[name]
        numbers = {field: getattr(defined, field) for field in _REPEATED}
        return cls(name=name, mean=mean, std=std, **numbers)

    def definition(self) -> FrontEnd:
        """The definition of the front end.

        Raises:
            ModelError: A number differs from the definition, so the model takes other features.
        """
        defined = FRONT_ENDS[self.name]
        for field in _REPEATED:
            said, has = getattr(self, field), getattr(defined, field)
            if said != has:
                raise ModelError(
                    f"its card says {field}={said!r}, and the front end {self.name!r} has {has!r}"
                )
        return defined


_REPEATED: Final = ("sample_rate", "frame_size", "hop_size", "n_mels", "window", "compression")
"""Numbers of a front end that cards repeat."""


class Deviation(BaseModel):
    """The worst deviation of an exported file from the network that it was made of.

    Attributes:
        activations: Largest difference of an activation; None without activations.
        cosine: Least cosine of embeddings; None without embeddings.
        tried_on: Description of the audio that both were run on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    activations: float | None = None
    cosine: float | None = None
    tried_on: str

    def __str__(self) -> str:
        words = []
        if self.activations is not None:
            words.append(f"largest difference of an activation {self.activations:.2g}")
        if self.cosine is not None:
            words.append(f"least cosine of embeddings {self.cosine:.6f}")
        return f"{', '.join(words)}, against the network on {self.tried_on}"


class Card(_Part):
    """A model card. `io` is the key `schema` of the JSON, a name that pydantic keeps for itself."""

    name: str = Field(min_length=1)
    type: str
    version: str = Field(coerce_numbers_to_str=True)
    classes: tuple[str, ...]
    io: Schema = Field(alias="schema")
    inference: InferenceSpec
    link: str | None = None
    description: str = ""
    author: str = ""
    release_date: str = ""
    framework: str = ""
    model_types: tuple[str, ...] = ()
    dataset: dict[str, Any] | None = None

    file: str | None = Field(default=None, pattern=FILE_NAME)
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    licence: str | None = None
    source: str | None = None
    front_end: FrontEndSpec | None = None
    segment_size: Size | None = None
    segment_hop_size: Size | None = None
    # For a transformer whose patches can be left out: its grid, and levels from the best to the
    # cheapest.
    patch_grid: PatchGrid | None = None
    patchout: tuple[PatchoutLevel, ...] = ()
    # The same network as `torch.export.save` writes it, and its hash: what torch-tensorrt compiles.
    program: str | None = Field(default=None, pattern=FILE_NAME)
    program_sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    # For an exported file: fp32, int8 or fp16, and the deviation that it causes.
    precision: str | None = None
    deviation: Deviation | None = None
    # For a head stored as plain weights: the activation after each layer, first to last.
    layer_activations: tuple[Activation, ...] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.classes and self.output("embeddings") is None:
            raise PydanticCustomError(
                "card", "'classes' is empty, and no output has embeddings either"
            )
        return self

    @model_validator(mode="after")
    def _classes_differ(self) -> Self:
        if (label := first_repeated(self.classes)) is not None:
            raise PydanticCustomError(
                "card", "'classes': {label} occurs twice", {"label": repr(label)}
            )
        return self

    @model_validator(mode="after")
    def _patches_fit(self) -> Self:
        bands = None if self.front_end is None else self.front_end.n_mels
        for along, key, length in (
            ("columns", "segment_size", self.segment_size),
            ("rows", "n_mels", bands),
        ):
            if self.patch_grid is None or length is None:
                continue
            said, fit = getattr(self.patch_grid, along), self.patch_grid.patches(length)
            if said != fit:
                has = f"'{key}' of {length} has {fit} by size and stride"
                what = f"'patch_grid.{along}': {said}, but {has}"
                raise PydanticCustomError("card", "{what}", {"what": what})
        return self

    @model_validator(mode="after")
    def _levels_are_possible(self) -> Self:
        names = [level.name for level in self.patchout]
        if len(set(names)) != len(names):
            raise PydanticCustomError("card", "'patchout': two levels have the same name")
        if self.patchout and self.patch_grid is None:
            raise PydanticCustomError("card", "'patchout': levels, and no 'patch_grid'")
        for level in self.patchout:
            try:
                assert self.patch_grid is not None
                self.patch_grid.kept(level)
            except ModelError as error:
                what = f"'patchout': level {level.name}: {error}"
                raise PydanticCustomError("card", "{what}", {"what": what}) from None
        return self

    def level(self, name: str) -> PatchoutLevel:
        """The patchout level of this name.

        Raises:
            ModelError: The card has no such level.
        """
        for level in self.patchout:
            if level.name == name:
                return level
        known = ", ".join(level.name for level in self.patchout) or "none"
        raise ModelError(f"{self.name}: no patchout level {name!r}; levels are: {known}")

    def output(self, purpose: str) -> TensorSpec | None:
        """The output of this `output_purpose`, "predictions" or "embeddings"; None without one."""
        return next(
            (output for output in self.io.outputs if output.output_purpose == purpose), None
        )

    @property
    def embedding_size(self) -> int | None:
        """Length of the embeddings that a backbone gives, shape `(embedding_size,)`, or None."""
        output = self.output("embeddings")
        size = None if output is None else _last_dimension(output)
        return size * 3 if size and output and output.pooling else size

    @property
    def input_size(self) -> int | None:
        """Size of the last axis of the first input; None if the card leaves it open.

        For a backbone that is the number of bands, for a head the length of the embeddings.
        """
        return _last_dimension(self.io.inputs[0])


def first_repeated(names: Sequence[str]) -> str | None:
    """The first of the names that occurs more than once; None if all differ."""
    return next((name for name, count in Counter(names).items() if count > 1), None)


def card_path(path: Path) -> Path:
    """The file of a card.

    Args:
        path: The file itself, or a folder with a `card.json` or only one JSON file.

    Raises:
        ModelError: The folder has no JSON file, or several of which none is called `card.json`.
    """
    if path.is_file():
        return path
    if not path.is_dir():
        raise ModelError(f"{path}: no such file or folder")
    if (path / CARD_NAME).is_file():
        return path / CARD_NAME
    found = sorted(path.glob("*.json"))
    if len(found) != 1:
        what = "no model card" if not found else f"{len(found)} JSON files, none of them the card"
        raise ModelError(f"{path}: {what}; a model folder holds a {CARD_NAME}")
    return found[0]


def load_card(path: str | Path) -> Card:
    """Read a card.

    Args:
        path: A model folder or a card file, ours or Essentia's.

    Raises:
        ModelError: The card does not exist or is not JSON, or a key is missing or wrong; the
            message names file and key.
    """
    file = card_path(Path(path))
    try:
        content = json.loads(file.read_bytes())
    except OSError as error:
        raise ModelError(f"{file}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # bad JSON, and bytes that are not UTF-8
        raise ModelError(f"{file}: not a JSON file: {error}") from error
    try:
        return Card.model_validate(content)
    except ValidationError as error:
        what = describe_invalid(error, model=Card, noun="key")
        raise ModelError(f"{file}: {what}") from error


def model_path(path: str | Path, card: Card) -> Path:
    """The model file that a card describes.

    Essentia's cards do not name it; their model is beside the card and has its name with another
    ending.

    Args:
        path: Folder or file that the card was loaded from.
        card: The card.

    Raises:
        ModelError: The file does not exist.
    """
    file = card_path(Path(path))
    if card.file is not None:
        candidates = [file.with_name(card.file)]
    else:
        candidates = [file.with_suffix(suffix) for suffix in MODEL_SUFFIXES]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    names = " nor ".join(candidate.name for candidate in candidates)
    raise ModelError(f"model '{card.name}': no {names} in {file.parent}")


def check_program(path: str | Path, card: Card) -> tuple[Path, str]:
    """Find the torch program of a model and compare it with the card's hash.

    Args:
        path: Folder or file that the card was loaded from.
        card: A card that names a program.

    Returns:
        The file, and its sha256 in hexadecimal digits.

    Raises:
        ModelError: The file does not exist, or is not the one that the card describes.
    """
    assert card.program is not None
    file = card_path(Path(path)).with_name(card.program)
    if not file.is_file():
        raise ModelError(f"model '{card.name}': no {card.program} in {file.parent}")
    found = sha256(file)
    if card.program_sha256 != found:
        raise ModelError(
            f"model '{card.name}': {file} is damaged: its sha256 is not that of the card"
        )
    return file, found


def save_card(card: Card, folder: Path) -> Path:
    """Write `card.json` into `folder`, atomically, and return its path.

    Raises:
        ModelError: A number of the card is not finite, which JSON cannot hold.
        OSError: The file cannot be written.
    """
    content = card.model_dump(mode="json", by_alias=True, exclude_none=True)
    try:
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise ModelError(f"model '{card.name}': a number of its card is not finite") from error
    path = folder / CARD_NAME
    write_atomically(path, f"{text}\n".encode())
    return path


def _last_dimension(spec: TensorSpec) -> int | None:
    last = spec.shape[-1] if spec.shape else None
    return last if isinstance(last, int) and last > 0 else None
