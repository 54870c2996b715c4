"""The models on this machine: their names, their folders, and whether they are intact.

Installed models are folders in `models/` of the cache. A folder appears there by one rename when it
is complete and checked, so whatever interrupts a pull, a reader finds a whole model or none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from auricle.errors import ModelError, did_you_mean
from auricle.models.cache import models_folder
from auricle.models.card import Card, card_path, load_card, model_path
from auricle.models.convert.wheel import CONVERSIONS, LICENCE
from auricle.models.files import sha256
from auricle.models.near_names import names_near
from auricle.models.published import LICENCE as PUBLISHED_LICENCE
from auricle.models.published import PUBLISHED
from auricle.models.trial import try_out

SHIPPED: Final = Path(__file__).parent / "shipped"
"""Folder of the models that come with Auricle."""


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One line of the list of models.

    Attributes:
        name: Name of the model.
        state: Whether it is installed, and intact.
        licence: Licence of its weights.
        description: Description in one line.
        size_bytes: Size of the model file, bytes; approximate if it is not installed.
    """

    name: str
    state: Literal["installed", "damaged", "missing"]
    licence: str
    description: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of `verify` for one model.

    Attributes:
        name: Name of its folder.
        problem: Fault in one line; None if it is intact.
    """

    name: str
    problem: str | None


def shipped_names() -> list[str]:
    """Names of the models that come with Auricle and need not be pulled, sorted."""
    return sorted(path.parent.name for path in SHIPPED.glob("*/card.json"))


def available(published: bool = False) -> list[ModelEntry]:
    """The models that come with Auricle, those that it converts, then all others installed.

    Args:
        published: Whether to list those of Essentia's site too, even if they are not installed.
    """
    ours = [*shipped_names(), *CONVERSIONS]
    others = [name for name in _installed_names() if name not in ours]
    if published:
        others = [*PUBLISHED, *(name for name in others if name not in PUBLISHED)]
    return [_entry(name) for name in [*ours, *others]]


def info(name_or_path: str | Path) -> Card:
    """The card of an installed model or of a model folder.

    Raises:
        ModelError: The model does not exist, or its card cannot be used.
    """
    return load_card(find(name_or_path))


def find(name_or_path: str | Path) -> Path:
    """The folder of an installed model, by its name or by the folder's own path.

    Names come first: a folder called `musicnn-mtt` in the working directory is reached as
    `./musicnn-mtt`.

    Raises:
        ModelError: The model does not exist; the message lists names and says how to get a model
            that is not installed.
    """
    name = str(name_or_path)
    if name in shipped_names():
        return SHIPPED / name
    if can_be_pulled(name) or name in _installed_names():
        folder = models_folder() / name
        if not folder.is_dir():
            raise ModelError(
                f"model '{name}' is not installed; get it with: auricle models pull {name}"
            )
        return folder
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        # A folder without a model is refused here and not at the first segment.
        card_path(path)
        return path
    if len(path.parts) > 1:
        raise ModelError(
            f"no folder '{name}'{_nearest_folder(path)}, where a model is looked for; "
            "get one by name with: auricle models pull NAME"
        )
    raise ModelError(
        f"no model '{name}'; {suggest_names(name)}. "
        "Give a name or the folder of a model; get one with: auricle models pull NAME"
    )


def _nearest_folder(path: Path) -> str:
    """A suggestion in place of a folder that is missing; or that its own folder is missing, too."""
    if not path.parent.is_dir():
        return f" (nor '{path.parent}')"
    return did_you_mean(path.name, [each.name for each in path.parent.iterdir() if each.is_dir()])


def suggest_names(name: str) -> str:
    """For the message about an unknown name: similar names, or else those that fit in a line."""
    own = [*shipped_names(), *CONVERSIONS]
    own += [each for each in _installed_names() if each not in own]
    if near := names_near(name, own):
        return f"names near it are: {', '.join(near)}"
    return f"models are: {', '.join(own)}, and those of: auricle models list --all"


def check(path: str | Path) -> Card:
    """Read a model's card and compare the model file with the card's hash. Takes milliseconds.

    Args:
        path: A model folder, or a card with its model beside it.

    Raises:
        ModelError: No usable card, no model file, or the file is not the one that the card
            describes.
    """
    card = load_card(path)
    file = model_path(path, card)
    if card.sha256 is not None and sha256(file) != card.sha256:
        remedy = ""
        if can_be_pulled(card.name):
            remedy = f"; get it again with: auricle models pull {card.name}"
        raise ModelError(
            f"model '{card.name}': {file} is damaged: its sha256 is not that of the card{remedy}"
        )
    return card


def verify(name_or_path: str | None = None) -> list[Verdict]:
    """Check one model, or all that are here.

    Checks the hash, whether ONNX Runtime loads the file, its inputs and outputs, and for a backbone
    whether it runs on a segment, which may take seconds.

    Args:
        name_or_path: Name of a model, or its folder; None for all that are here.

    Raises:
        ModelError: No model has this name.
    """
    folders = [SHIPPED / name for name in shipped_names()]
    folders += [models_folder() / name for name in _installed_names()]
    if name_or_path is not None:
        folders = [find(name_or_path)]
    return [Verdict(folder.name, _problem(folder)) for folder in folders]


def _problem(folder: Path) -> str | None:
    try:
        try_out(folder, check(folder))
    except ModelError as error:
        return str(error)
    return None


def can_be_pulled(name: str) -> bool:
    """Whether the model of this name can be converted or downloaded."""
    return name in CONVERSIONS or name in PUBLISHED


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
    """Facts known before a model is pulled; None for a model that cannot be pulled."""
    if conversion := CONVERSIONS.get(name):
        size = 4 * conversion.network.parameters
        return ModelEntry(name, "missing", LICENCE, conversion.description, size)
    if model := PUBLISHED.get(name):
        size = int(1e6 * model.size_mb)
        return ModelEntry(name, "missing", PUBLISHED_LICENCE, model.description, size)
    return None


def _installed_names() -> list[str]:
    if not models_folder().is_dir():
        return []
    return sorted(
        path.name for path in models_folder().iterdir() if path.is_dir() and path.name[0] != "."
    )
