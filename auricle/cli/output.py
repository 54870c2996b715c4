"""Where every word that the commands print goes through."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from auricle.errors import escaped

if TYPE_CHECKING:
    from rich.text import Text

LAYOUT = "\n\t"
"""Control characters that tables and paragraphs are made with."""


def say(text: str = "", err: bool = False) -> None:
    """Print text, with the control characters of names, titles and labels in it escaped.

    What is printed arrives at the other end of a pipe at once.

    Args:
        text: Text to print, which may have several lines.
        err: Whether to print on standard error.
    """
    click.echo(escaped(text, LAYOUT), err=err)


def words(text: str, style: str = "") -> Text:
    """Text for a screen that Rich draws, escaped as `say` does."""
    from rich.text import Text

    return Text(escaped(text, LAYOUT), style=style)
