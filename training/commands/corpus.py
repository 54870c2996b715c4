"""`auricle-train corpus`: tagged music in, a manifest out."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from auricle.training.commands import INCOMPLETE

if TYPE_CHECKING:
    from auricle.training.data.corpus import Corpus
    from auricle.training.data.manifest import Manifest
    from auricle.training.data.tags import Tags

GAME_MUSIC = "game-music"
COLUMNS = ("tracks", "hours", "artists", "releases", "labels", "genres")


class _Fractions(click.ParamType):  # type: ignore[type-arg]  # generic in its stubs only
    """Three percentages, as `70,15,15`."""

    name = "PERCENT"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[float, float, float]:
        try:
            train, validation, test = (float(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} must be three percentages, as in 70,15,15")
        parts = (train, validation, test)
        if min(parts) < 0 or not train or abs(sum(parts) - 100) > 1e-6:
            self.fail(
                f"{value!r} must be three percentages that add up to 100, the first of them above 0"
            )
        return train / 100, validation / 100, test / 100


@click.command(
    epilog="""\b
Examples:
  auricle-train corpus ~/Music --out music.parquet
  auricle-train corpus game-music --out ~/game-music"""
)
@click.argument(
    "folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR...|game-music"
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Manifest to write; with game-music, the folder for the music and its manifest.parquet.  "
    "[default: corpus.parquet; game-music]",
)
@click.option(
    "--fractions",
    type=_Fractions(),
    default="70,15,15",
    show_default=True,
    help="Percentages of the duration for train, validation and test.",
)
@click.option("--no-split", is_flag=True, help="Put all tracks into train.")
@click.option("--seed", default=0, show_default=True, help="Seed of the split.")
@click.option(
    "--least-seconds",
    type=click.FloatRange(0),
    help="Leave shorter tracks out.  [default: 10; with game-music 20]",
)
@click.option(
    "--workers", type=click.IntRange(1), help="Processes that decode.  [default: one per core]"
)
@click.option(
    "--packages",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="With game-music: folder with the .deb files, instead of downloading them.",
)
@click.option(
    "--more",
    is_flag=True,
    help="With game-music: 15 hours of other games in the training part, by artists of no other "
    "part.",
)
@click.option("--json", "as_json", is_flag=True, help="Counts as JSON instead of a table.")
def corpus(
    folders: tuple[Path, ...],
    out: Path | None,
    fractions: tuple[float, float, float],
    no_split: bool,
    seed: int,
    least_seconds: float | None,
    workers: int | None,
    packages: Path | None,
    more: bool,
    as_json: bool,
) -> None:
    """Read the tagged music in folders into a manifest, a Parquet file.

    Every file is decoded. Those that do not decode, are not as long as they say, or are silent are
    left out, as are short ones and those whose audio is that of another; a file beside the manifest
    lists them. The parts train, validation and test share no artist.

    `corpus game-music` assembles a free corpus from Debian's game music packages instead (2 GB to
    download, 14 hours of music).

    The exit code is 3 if files were left out because they are broken.
    """
    from auricle.training.data.corpus import read_corpus

    games = folders == (Path(GAME_MUSIC),)
    if (packages or more) and not games:
        raise click.UsageError("--packages and --more go with game-music")
    source = _game_music(out, packages, more) if games else _folders(folders, out)
    file = source.manifest
    if not file.resolve().parent.is_dir():
        raise click.UsageError(f"--out {file}: folder {file.parent} does not exist")
    with _progress() as progress:
        found = read_corpus(
            source.folders,
            least_s=source.least_s if least_seconds is None else least_seconds,
            workers=workers or os.cpu_count() or 1,
            progress=progress,
            describe=source.describe,
        )
    remarks = _write_remarks(found, file)
    manifest = _with_parts(found.manifest, None if no_split else fractions, seed, more)
    manifest.save(file)
    _report(found, manifest, file, remarks, as_json)
    if found.count("broken"):
        click.get_current_context().exit(INCOMPLETE)


@dataclass(frozen=True, slots=True)
class _Source:
    """Where the music of a corpus is, and how it is read.

    Attributes:
        folders: Folders of music.
        manifest: File to write.
        least_s: Least duration of a track, in seconds, unless chosen otherwise.
        describe: Corrects the tags of a file.
    """

    folders: Sequence[Path]
    manifest: Path
    least_s: float
    describe: Callable[[Path, Tags], Tags]


def _folders(folders: Sequence[Path], out: Path | None) -> _Source:
    from auricle.training.data.corpus import LEAST_S

    return _Source(folders, out or Path("corpus.parquet"), LEAST_S, lambda path, tags: tags)


def _game_music(out: Path | None, packages: Path | None, more: bool) -> _Source:
    from auricle.training.data import game_music

    home = out or Path(GAME_MUSIC)
    chosen = (*game_music.PACKAGES, *(game_music.MORE if more else ()))
    report = functools.partial(click.echo, err=True)
    folders = tuple(game_music.unpack(home, chosen, packages, report))
    describe = game_music.Credits(folders).describe
    return _Source(folders, home / "manifest.parquet", game_music.LEAST_S, describe)


def _with_parts(
    found: Manifest, fractions: tuple[float, float, float] | None, seed: int, more: bool
) -> Manifest:
    """The tracks in their parts; those of `--more` join the training part where they may."""
    from auricle.training.data import game_music
    from auricle.training.data.manifest import Manifest
    from auricle.training.data.split import extended, split

    others = [track for track in found if more and game_music.is_of_more(track.path)]
    manifest = Manifest(track for track in found if track not in others)
    if fractions is not None:
        manifest = split(manifest, fractions, seed)
    return extended(manifest, others)


def _write_remarks(found: Corpus, manifest: Path) -> Path:
    """The files that are left out, a JSON object a line, beside the manifest.

    Bytes of a name that are not UTF-8 are escaped as JSON does it, so `os.fsencode` gives them
    back.
    """
    from auricle.models.files import write_atomically

    file = manifest.with_name(f"{manifest.stem}-skipped.jsonl")
    lines = [
        json.dumps(
            {"path": str(remark.path), "kind": remark.kind, "reason": remark.reason},
            ensure_ascii=False,
        )
        for remark in found.remarks
    ]
    write_atomically(
        file, "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
    )
    return file


def _report(found: Corpus, manifest: Manifest, file: Path, remarks: Path, as_json: bool) -> None:
    from auricle.training.data.corpus import KINDS
    from auricle.training.data.manifest import PARTS

    counts: dict[str, dict[str, float]] = {name: _counts(manifest.part(name)) for name in PARTS}
    counts["all"] = _counts(manifest)
    kinds: dict[str, int] = {kind: found.count(kind) for kind in KINDS}
    if as_json:
        content: dict[str, Any] = {
            "manifest": str(file),
            "counts": counts,
            **kinds,
            "skipped": str(remarks),
        }
        click.echo(json.dumps(content))
        return
    click.echo(f"{'':<10}" + "".join(f"{column:>9}" for column in COLUMNS))
    for name, row in counts.items():
        click.echo(f"{name:<10}" + "".join(f"{row[column]:>9}" for column in COLUMNS))
    click.echo(
        f"\nleft out: {kinds['broken']} broken, {kinds['short']} short, "
        f"{kinds['duplicate']} with the audio of another; "
        f"{kinds['tags']} with tags that cannot be read: {remarks}"
    )
    click.echo(f"manifest: {file}")


def _counts(part: Manifest) -> dict[str, float]:
    hours = sum(track.duration_s for track in part) / 3600
    names = {column: _count_names(part, column) for column in COLUMNS[2:]}
    return {"tracks": len(part), "hours": round(hours, 2), **names}


def _count_names(part: Manifest, column: str) -> int:
    return len({name for track in part for name in getattr(track, column)})


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("decoding"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("decoding", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
