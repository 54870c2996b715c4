"""Recipe files: YAML, by name or by path, possibly extending one another.

Those that come with Auricle are in `training/recipes/` and are named without folder and suffix. A
file can name another recipe that it `extends`, and then states only what differs. An unknown field
is refused, and so is a value out of range.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from auricle.errors import RecipeError, describe_invalid, one_line
from auricle.training.objectives import find_objective
from auricle.training.recipe import Network, Recipe, RecipePart, Schedule
from auricle.yaml_text import load_yaml

RECIPES: Final = Path(__file__).parents[1] / "recipes"

Model = TypeVar("Model", bound=BaseModel)


def _by_name(union: Any) -> dict[str, type[RecipePart]]:
    return {get_args(model.model_fields["name"].annotation)[0]: model for model in get_args(union)}


NETWORKS: Final = _by_name(Network)
SCHEDULES: Final = _by_name(Schedule)

VARIANTS: Final = {"objective": "kind", "network": "name", "schedule": "name"}
"""Parts of a recipe that come in variants with their own fields, and the field that picks one."""


def recipe_names() -> list[str]:
    """The recipes that come with Auricle."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def recipe_summary(name: str) -> str:
    """The first sentence of what a recipe says about itself; its other fields are not checked.

    Raises:
        RecipeError: The recipe does not exist, or is not YAML.
    """
    _, content = _read(name)
    return " ".join(str(content.get("about", "")).split()).partition(". ")[0].rstrip(".")


def load_recipe(name: str | Path, changes: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe.

    Args:
        name: Name of one that comes with Auricle, or a file.
        changes: Fields to change, with dots for nested fields, as `optimizer.lr`. A network,
            objective or schedule of another name or kind begins with its defaults.

    Raises:
        RecipeError: The recipe does not exist or is not YAML, or a field is unknown or out of
            range.
    """
    path, content = _read(name)
    try:
        # The choice of a variant goes before its fields: another one has others.
        for key, value in sorted((changes or {}).items(), key=_is_no_choice):
            _set(content, key, value)
        return make_recipe(content)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error


def make_recipe(content: Mapping[str, Any]) -> Recipe:
    """Check the fields of a recipe, as a file has them.

    Raises:
        RecipeError: A field is missing, unknown or out of range.
    """
    # Each on its own, so that an error names a field of the variant and not of all of them.
    checked = {key: _validated(model, content[key], key) for key, model in _chosen(content)}
    return _validated(Recipe, {**content, **checked})


# -- checking --------------------------------------------------------------------------------------


def _chosen(content: Mapping[str, Any]) -> Iterator[tuple[str, type[RecipePart]]]:
    """Each part that comes in variants, with the model of the variant that it picks, if known."""
    for part, field in VARIANTS.items():
        fields = content.get(part)
        if not isinstance(fields, dict) or field not in fields:
            continue
        if part == "objective":
            yield part, find_objective(fields[field]).Spec
        else:
            known = NETWORKS if part == "network" else SCHEDULES
            if fields[field] in list(known):
                yield part, known[fields[field]]


def _validated(model: type[Model], content: Mapping[str, Any], *place: str) -> Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        what = describe_invalid(error, *place, model=model, noun="field")
        raise RecipeError(what) from error


# -- files -----------------------------------------------------------------------------------------


def _read(name: str | Path, extending: tuple[Path, ...] = ()) -> tuple[Path, dict[str, Any]]:
    """A file and its fields, with those of the recipe that it extends.

    Args:
        name: Name of a recipe, or a file; relative to the file that extends it, if there is one.
        extending: Files that led here by extending one another.
    """
    path = extending[-1].parent / name if extending else Path(name)
    if path.suffix not in (".yaml", ".yml"):
        path = RECIPES / f"{name}.yaml"
        if not path.is_file():
            raise RecipeError(
                f"no recipe {str(name)!r}; there are: {', '.join(recipe_names())}, or give a file"
            )
    content = _fields_of(path)
    if "extends" not in content:
        return path, content
    base = content.pop("extends")
    if not isinstance(base, str):
        raise RecipeError(f"{path}: extends: {base!r} must be the name of a recipe, or a file")
    here = path.resolve()
    if here in extending:
        raise RecipeError(f"{path}: extends: itself, by way of {extending[-1].name}")
    return path, _merged(_read(base, (*extending, here))[1], content)


def _fields_of(path: Path) -> dict[str, Any]:
    try:
        content = load_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path}: not a recipe: {one_line(error)}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path}: not a recipe: it has no fields")
    return content


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The base with the changes; a part keeps its other fields unless its kind or name changes."""
    merged = base | changes
    for key in base.keys() & changes.keys():
        old, new = base[key], changes[key]
        if isinstance(old, dict) and isinstance(new, dict):
            both = {"kind", "name"} & old.keys() & new.keys()
            if all(old[each] == new[each] for each in both):
                merged[key] = old | new
    return merged


def _is_no_choice(change: tuple[str, Any]) -> bool:
    return not change[0].endswith((".kind", ".name"))


def _set(content: dict[str, Any], key: str, value: Any) -> None:
    """Change a field, given with dots for nested fields."""
    *parents, last = key.split(".")
    for parent in parents:
        content = content.setdefault(parent, {})
        if not isinstance(content, dict):
            raise RecipeError(f"{key}: {parent} has no fields")
    chooses = len(parents) == 1 and VARIANTS.get(parents[0]) == last
    if chooses and content.get(last, value) != value:
        content.clear()  # the other variant has other fields
    content[last] = value
