"""Tagging files and arrays offline, with the same nodes that run live."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from auricle.engine.graph import Graph
from auricle.engine.node import Node
from auricle.engine.run import Run
from auricle.engine.scheduler import passes
from auricle.errors import AuricleError, ConfigError
from auricle.models import DEFAULT_MODEL
from auricle.nodes.backbone import Backbone
from auricle.nodes.heads import Heads
from auricle.nodes.inputs.file import FileInput
from auricle.nodes.inputs.samples import SamplesInput
from auricle.nodes.mel_spectrogram import MelSpectrogram
from auricle.nodes.sinks.collector import Collector, Segment


class FileTagger:
    """Tags one file or array, segment by segment, in constant memory.

    Iterate over it once, on one thread, to get a `Segment` for each segment of the audio.

    Args:
        source: Path of a file, in any format that FFmpeg decodes; or samples: PCM of any type,
            floats in [-1, 1], shape `(frames,)` or `(frames, channels)`.
        model: Name of an installed model, or the folder of a model.
        hop_size: Mel frames from one segment to the next; by default as in the model's card.
        threads: Number of threads that share the work of one inference.
        embeddings: Whether segments include the embeddings.
        patchout: Patchout level in a transformer's card; by default the first.
        heads: Names of installed heads on the model, or their folders.
        sample_rate: Rate of the samples, Hz; required with samples, refused with a file.

    Attributes:
        backbone: Node that runs the model.
        input: Node that decodes the file or plays the samples.
        graph: Graph of the nodes.
        run: The run, with its statistics; None before the first segment.

    Raises:
        ConfigError: The model or a head is missing, or a parameter is invalid.
        InputError: The samples are empty or not PCM.
        AuricleError: While iterating: the file cannot be read or breaks (`InputError`), the model
            is damaged (`ModelError`), or it is the second iteration.

    Example:
        >>> tagger = FileTagger("song.mp3")                                    # doctest: +SKIP
        >>> for segment in tagger:                                             # doctest: +SKIP
        ...     print(segment.start, segment.activations["guitar"])
    """

    def __init__(
        self,
        source: str | Path | NDArray[Any],
        model: str = DEFAULT_MODEL,
        hop_size: int | None = None,
        threads: int = 1,
        embeddings: bool = False,
        patchout: str | None = None,
        *,
        heads: Sequence[str] = (),
        sample_rate: int | None = None,
    ) -> None:
        self.backbone = Backbone(
            "backbone", model=model, hop_size=hop_size, threads=threads, patchout=patchout
        )
        front_end = self.backbone.card.front_end
        assert front_end is not None  # the backbone has refused a card without one
        self.input = _input(source, sample_rate, front_end.sample_rate)
        mel = MelSpectrogram("mel", front_end=front_end.name)
        self._collector = Collector("segments")
        nodes: list[Node] = [self.input, mel, self.backbone, self._collector]
        edges = [("input", "mel"), ("mel", "backbone")]
        if "predictions" in self.backbone.outputs:
            edges.append(("backbone.predictions", "segments.predictions"))
        if embeddings:
            edges.append(("backbone.embeddings", "segments.embeddings"))
        self._heads: Heads | None = None
        if heads:
            self._heads = Heads("heads", heads=tuple(heads))
            nodes.append(self._heads)
            edges.append(("backbone.embeddings", "heads"))
            edges.append(("heads", "segments.heads"))
        title = Path(source).name if isinstance(source, str | Path) else "samples"
        self.graph = Graph(title, nodes, edges)
        self.run: Run | None = None

    @property
    def model_name(self) -> str:
        """Name of the model."""
        return self.backbone.card.name

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the model, in the order of its activations."""
        return self.backbone.card.classes

    @property
    def head_labels(self) -> dict[str, tuple[str, ...]]:
        """Labels of each head by its name, in the order of its activations."""
        described = self._heads.describe()["predictions"] if self._heads else []
        return {each["head"]: tuple(each["labels"]) for each in described}

    @property
    def patchout(self) -> str:
        """Patchout level of a transformer; empty for other models."""
        allowed = self.backbone.levels.allowed
        return str(allowed[0]) if allowed else ""

    @property
    def decoded_s(self) -> float:
        """Length of the audio decoded so far, in seconds."""
        audio = self.input.outputs["audio"].stream
        return float((audio.written - audio.start) / audio.token_type.rate)

    @property
    def segment_s(self) -> float:
        """Length of the audio that one segment needs, in seconds."""
        stream = next(iter(self.backbone.outputs.values())).stream
        return float(stream.seconds(stream.start)[1])

    def __iter__(self) -> Iterator[Segment]:
        if self.run is not None:
            raise AuricleError(
                f"{self.graph.name}: already tagged; make another FileTagger to tag it again"
            )
        for run in passes(self.graph):
            self.run = run
            yield from self._collector.segments()


def _input(
    source: str | Path | NDArray[Any], sample_rate: int | None, wanted_rate: int
) -> FileInput | SamplesInput:
    """The node that reads a source and resamples it to `wanted_rate`, in Hz."""
    if isinstance(source, str | Path):
        if sample_rate is not None:
            raise ConfigError(f"sample_rate={sample_rate} is for samples; a file states its own")
        return FileInput("input", path=Path(source), sample_rate=wanted_rate)
    if sample_rate is None:
        raise ConfigError("samples need a sample_rate, in Hz")
    return SamplesInput("input", source, sample_rate, sample_rate=wanted_rate)
