"""`auricle-train recipes`: which recipes there are."""

from __future__ import annotations

import click


@click.command(epilog="Example: auricle-train recipes cola-artist > mine.yaml")
@click.argument("name", required=False)
def recipes(name: str | None) -> None:
    """List the recipes that come with Auricle, or show one with all its fields."""
    from auricle.training.run.recipes import load_recipe, recipe_names, recipe_summary

    if name is not None:
        click.echo(load_recipe(name).to_yaml(), nl=False)
        return
    names = recipe_names()
    width = max(map(len, names))
    for each in names:
        click.echo(f"{each:<{width}}  {recipe_summary(each)}")
