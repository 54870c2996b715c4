"""`auricle-train agree`: how a student follows its teachers."""

from __future__ import annotations

from pathlib import Path

import click

from auricle.errors import TrainingError
from auricle.training.data.manifest import PARTS, Manifest

SHOWN = 5
"""Tags with the lowest correlation in the table; `--tags` shows all."""


@click.command(
    epilog="""\b
Example:
  auricle-train agree corpus.parquet said/student said/musicnn-mtt said/musicnn-msd"""
)
@click.argument("manifest", type=click.Path(path_type=Path))
@click.argument("student", type=click.Path(path_type=Path))
@click.argument("teachers", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "--part",
    type=click.Choice(PARTS),
    default="test",
    show_default=True,
    help="Part of the corpus.",
)
@click.option(
    "--least-prevalence",
    type=click.FloatRange(0, 1),
    default=0.01,
    show_default=True,
    help="Tags whose mean activation by their teacher is lower do not count.",
)
@click.option("--tags", is_flag=True, help="Show every tag.")
def agree(
    manifest: Path,
    student: Path,
    teachers: tuple[Path, ...],
    part: str,
    least_prevalence: float,
    tags: bool,
) -> None:
    """Compare the outputs of a STUDENT with those of its TEACHERS, segment by segment.

    All are folders of auricle-train teach, with the same segments. Prints Markdown tables of
    Spearman's correlation over all segments, averaged over tags, and the percentage of segments
    with the same strongest tag.
    """
    from auricle.training.data.outputs import Outputs
    from auricle.training.evaluation.agreement import ALL, agreements

    tracks = [track.track_id for track in Manifest.load(manifest) if track.part == part]
    if not tracks:
        raise TrainingError(f"{manifest}: no track in the part {part!r}")
    found = agreements(
        Outputs(student), [Outputs(teacher) for teacher in teachers], tracks, least_prevalence
    )
    click.echo(
        "| teacher | Spearman | tags that count | strongest tag the same |\n|---|---|---|---|"
    )
    for name, agreement in found.items():
        counted = len(agreement.per_class)
        total = counted + len(agreement.left_out)
        click.echo(
            f"| {name} | {agreement.spearman:.3f} | {counted} of {total} | {agreement.top_1:.1%} |"
        )
    click.echo("\n| tag | teacher | Spearman |\n|---|---|---|")
    for name, agreement in found.items():
        if name == ALL:
            continue
        rising = sorted(agreement.per_class.items(), key=lambda item: item[1])
        for tag, correlation in rising if tags else rising[:SHOWN]:
            click.echo(f"| {tag} | {name} | {correlation:.3f} |")
