"""Tagging files offline, with the same nodes that run live."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from auricle.engine.graph import Graph
from auricle.engine.run import Run
from auricle.engine.scheduler import passes
from auricle.errors import AuricleError
from auricle.models import DEFAULT_MODEL
from auricle.nodes.backbone import Backbone
from auricle.nodes.inputs.file import FileInput
from auricle.nodes.mel_spectrogram import MelSpectrogram
from auricle.nodes.sinks.collector import Collector, Segment


class FileTagger:
    """Tags one file, segment by segment, in constant memory.

    Iterate over it once, on one thread, to get a `Segment` for each segment of the file.

    Args:
        path: Path of the file, in any format that FFmpeg decodes.
        model: Name of an installed model, or the folder of a model.
        hop_size: Mel frames from one segment to the next; by default as in the model's card.
        threads: Number of threads that share the work of one inference.
        embeddings: Whether segments include the embeddings.
        patchout: Patchout level in a transformer's card; by default the first.

    Attributes:
        backbone: Node that runs the model.
        input: Node that decodes the file.
        graph: Graph of the nodes.
        run: The run, with its statistics; None before the first segment.

    Raises:
        ConfigError: The model is missing, or a parameter is invalid.
        AuricleError: While iterating: the file cannot be read or breaks (`InputError`), the model
            is damaged (`ModelError`), or it is the second iteration.

    Example:
        >>> tagger = FileTagger("song.mp3")                                    # doctest: +SKIP
        >>> for segment in tagger:                                             # doctest: +SKIP
        ...     print(segment.start, segment.activations["guitar"])
    """

    def __init__(
        self,
        path: str | Path,
        model: str = DEFAULT_MODEL,
        hop_size: int | None = None,
        threads: int = 1,
        embeddings: bool = False,
        patchout: str | None = None,
    ) -> None:
        self.backbone = Backbone(
            "backbone", model=model, hop_size=hop_size, threads=threads, patchout=patchout
        )
        front_end = self.backbone.card.front_end
        assert front_end is not None  # the backbone has refused a card without one
        self.input = FileInput("input", path=Path(path), sample_rate=front_end.sample_rate)
        mel = MelSpectrogram("mel", front_end=front_end.name)
        self._collector = Collector("segments")
        edges = [("input", "mel"), ("mel", "backbone"), ("backbone.predictions", "segments")]
        if embeddings:
            edges.append(("backbone.embeddings", "segments"))
        nodes = [self.input, mel, self.backbone, self._collector]
        self.graph = Graph(Path(path).name, nodes, edges)
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
        stream = self.backbone.outputs["predictions"].stream
        return float(stream.seconds(stream.start)[1])

    def __iter__(self) -> Iterator[Segment]:
        if self.run is not None:
            raise AuricleError(
                f"{self.graph.name}: already tagged; make another FileTagger to tag it again"
            )
        for run in passes(self.graph):
            self.run = run
            yield from self._collector.segments()
