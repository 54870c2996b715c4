"""Tagging many files, one after another or in several processes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from auricle.errors import (
    AuricleError,
    ConfigError,
    InputError,
    ModelError,
    escaped,
    one_line_with_type,
)

if TYPE_CHECKING:
    from auricle.nodes.sinks.collector import Segment
    from auricle.tagging import FileTagger


@dataclass(frozen=True, slots=True)
class TagOptions:
    """Choices for all files; see `FileTagger` for those of the same name.

    Attributes:
        keep: Whether to keep the segments of a file until all of it is tagged.
    """

    model: str
    hop_size: int | None = None
    threads: int = 1
    embeddings: bool = False
    patchout: str | None = None
    heads: tuple[str, ...] = ()
    keep: bool = False

    def tagger(self, file: Path) -> FileTagger:
        """A tagger of a file."""
        from auricle.tagging import FileTagger

        return FileTagger(
            file,
            self.model,
            hop_size=self.hop_size,
            threads=self.threads,
            embeddings=self.embeddings,
            patchout=self.patchout,
            heads=self.heads,
        )


@dataclass(slots=True)
class Tagged:
    """What is known of a file when all of it has been tagged.

    Attributes:
        file: File that it is of.
        seconds: Length of its audio.
        count: Number of its segments; 0 if it is too short for one.
        means: Mean activation by label.
        heads: Mean activation by label, for each head by its name.
        patchout: Patchout level of a transformer; empty for other models.
        settings: Model, version, hop and patchout that the numbers depend on, by name.
        warnings: What was missing, one line each.
        segments: The segments, if they were to be kept.
    """

    file: Path
    seconds: float
    count: int
    means: dict[str, float]
    heads: dict[str, dict[str, float]]
    patchout: str
    settings: dict[str, str | int]
    warnings: list[str]
    segments: list[Segment] = field(default_factory=list)


class Watcher:
    """Learns how far a file is; does nothing, to be overridden."""

    def begin(self, file: Path, duration_s: float | None) -> None:
        """A file of `duration_s` seconds, None if unknown, is tagged from now on."""

    def segment(self, file: Path, segment: Segment, patchout: str) -> None:
        """A segment of it has been computed."""

    def advance(self, decoded_s: float) -> None:
        """So many seconds of it have been decoded."""


def tag_file(file: Path, options: TagOptions, watcher: Watcher) -> Tagged:
    """Tag one file.

    Raises:
        AuricleError: The file, the model or an option cannot be used.
    """
    tagger = options.tagger(file)
    watcher.begin(file, tagger.input.duration_s)
    total = np.zeros(len(tagger.labels))
    of_heads = {head: np.zeros(len(labels)) for head, labels in tagger.head_labels.items()}
    kept: list[Segment] = []
    count = 0
    for segment in tagger:
        count += 1
        total += list(segment.activations.values())
        for head, activations in segment.heads.items():
            of_heads[head] += list(activations.values())
        if options.keep:
            kept.append(segment)
        watcher.segment(file, segment, tagger.patchout)
        watcher.advance(tagger.decoded_s)
    warnings = list(tagger.input.warnings)
    if not count:
        heard = f"{tagger.decoded_s:.3g} s of audio"
        warnings.append(
            f"{file}: {heard}, too short for a segment; "
            f"{tagger.model_name} needs {tagger.segment_s:.3g} s"
        )
    heads = {
        head: _means(labels, of_heads[head], count) for head, labels in tagger.head_labels.items()
    }
    return Tagged(
        file=file,
        seconds=tagger.decoded_s,
        count=count,
        means=_means(tagger.labels, total, count),
        heads=heads,
        patchout=tagger.patchout,
        settings=_settings(tagger),
        warnings=warnings,
        segments=kept,
    )


def _means(
    labels: Sequence[str], total: np.ndarray[tuple[int], np.dtype[np.float64]], count: int
) -> dict[str, float]:
    return dict(zip(labels, (total / max(1, count)).tolist(), strict=True))


def _settings(tagger: FileTagger) -> dict[str, str | int]:
    described = tagger.backbone.describe()
    return {
        "model": described["model"],
        "model_version": described["model_version"],
        "hop_size": described["hop_size"],
        "patchout": tagger.patchout,
    }


def try_file(file: Path, options: TagOptions, watcher: Watcher | None = None) -> Tagged | str:
    """Tag one file.

    Returns:
        The results, or one line on what is wrong with the file.

    Raises:
        ConfigError: An option cannot be used, whatever the file.
        ModelError: The model cannot be used, whatever the file.
        BrokenPipeError: Whoever read the output of the watcher has seen enough.
    """
    try:
        return tag_file(file, options, watcher or Watcher())
    except (ConfigError, ModelError, BrokenPipeError):
        raise
    except Exception as error:  # whatever is wrong with one file, the others are tagged
        return _describe(file, error)


def _describe(file: Path, error: Exception) -> str:
    """What went wrong with a file, in one line that names it."""
    text = error.message if isinstance(error, AuricleError) else one_line_with_type(error)
    return text if escaped(str(file)) in escaped(text) else f"{file}: {text}"


def tag_in_processes(
    files: Sequence[Path], options: TagOptions, jobs: int
) -> Iterator[tuple[Path, Tagged | str]]:
    """Tag files in several processes, each with a model of its own.

    Args:
        files: Files to tag.
        options: Choices for all of them.
        jobs: Number of processes.

    Yields:
        Each file with its results or what is wrong with it, in the order in which they finish.

    Raises:
        ConfigError: As for `try_file`.
        ModelError: As for `try_file`.
        InputError: A process was killed.
    """
    from concurrent.futures.process import BrokenProcessPool

    from auricle.parallel import as_completed, processes

    work: Callable[[Path], Tagged | str] = functools.partial(try_file, options=options)
    try:
        yield from as_completed(processes(jobs), work, files, 2 * jobs)
    except BrokenProcessPool:
        raise InputError(
            f"one of {jobs} processes was killed, maybe for memory: each has a model of its own; "
            "try fewer --jobs"
        ) from None
