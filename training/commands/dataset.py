"""`auricle-train dataset`: published data sets as manifests and tasks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from auricle.training.commands import INCOMPLETE

if TYPE_CHECKING:
    from auricle.training.data.manifest import Manifest
    from auricle.training.data.tasks import Task

KINDS = ("jamendo", "magnatagatune", "fma", "gtzan", "folders")


@click.command(
    epilog="""\b
Examples:
  auricle-train dataset jamendo mtg-jamendo-dataset audio-low --subset moodtheme --out moods.parquet
  auricle-train dataset fma fma_metadata fma_small --out fma.parquet
  auricle-train dataset gtzan GTZAN_split genres --out gtzan.parquet
  auricle-train dataset folders my-classes --out mine.parquet"""
)
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("audio", type=click.Path(path_type=Path), required=False)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Manifest to write.")
@click.option(
    "--subset", help="Subset of jamendo: genre, instrument, ...; of fma: small, medium or large."
)
@click.option("--split", type=int, help="Split of jamendo, 0 to 4.")
def dataset(
    kind: str, folder: Path, audio: Path | None, out: Path, subset: str | None, split: int | None
) -> None:
    """Read a published data set into a manifest, and its classes into a task file beside it.

    FOLDER has the lists or tables as published, AUDIO the music. The kind `folders` has one folder
    per class, and no separate AUDIO. The task file is for auricle-train heads and evaluate.

    The exit code is 3 if files of `folders` were left out because they cannot be opened; they are
    listed.
    """
    from auricle.training.data.task_files import save_task

    skipped: list[str] = []
    given: dict[str, Any] = {
        name: value for name, value in (("subset", subset), ("split", split)) if value is not None
    }
    manifest, task = _read(kind, folder, audio, given, skipped)
    file = out.with_suffix(".json")
    manifest.save(out)
    save_task(task, file)
    counts = ", ".join(
        f"{len(manifest.part(part))} {part}" for part in ("train", "validation", "test")
    )
    click.echo(f"{out}: {len(manifest)} tracks ({counts})")
    click.echo(f"{file}: {task.name}, {len(task.classes)} classes, {len(task.targets)} tracks")
    for reason in skipped:
        click.echo(reason, err=True)
    if skipped:
        click.echo(f"left out: {len(skipped)} broken", err=True)
        click.get_current_context().exit(INCOMPLETE)


def _read(
    kind: str, folder: Path, audio: Path | None, given: dict[str, Any], skipped: list[str]
) -> tuple[Manifest, Task]:
    import importlib

    allowed = {"jamendo": {"subset", "split"}, "fma": {"subset"}}.get(kind, set())
    for name in given.keys() - allowed:
        raise click.UsageError(f"{kind} has no --{name}")
    if (audio is None) != (kind == "folders"):
        raise click.UsageError(
            "folders takes one folder" if audio else f"{kind} takes FOLDER and AUDIO"
        )
    if kind == "folders":
        given = {"report_skipped": skipped.append}
    read = importlib.import_module(f"auricle.training.data.datasets.{kind}").read
    found: tuple[Manifest, Task] = read(folder, *([audio] if audio else []), **given)
    return found
