"""Speed and closeness when patches are left out, as in figure 6.3 of Alonso-Jimenez' thesis."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ConfigError
from auricle.models.inference.patches import PatchInference, open_patch_session
from auricle.models.inference.sessions import open_session
from auricle.models.patchout import Patchout
from auricle.models.registry import find, info
from bench.measures import patchout_adaptive, patchout_live
from bench.measures.patchout_live import CHEAPEST, DROPPED, EFFICIENTNET, half_overlap
from bench.report import Figure, Report
from bench.segments import Frames, Segments, check_patches, cosine, music_frames
from bench.timing import Measurement, Progress, Spread, alternate, ratios, silent, timed

KEEP_EVERY = (1, 2, 3, 5, 10)
"""Columns that are kept: every n-th."""

SPEED = "x real time"

Outputs = Mapping[str, NDArray[np.float32]]
"""Outputs of a segment by name, shape `(1, length)` each."""


def measure(
    models: Sequence[str],
    efficientnet: str | None = None,
    live_s: float = 60.0,
    runs: int = 3,
    *,
    labelled: Sequence[str] = (),
    progress: Progress = silent,
) -> Report:
    """Speed and closeness over patchout settings, one segment after the other on one thread.

    Args:
        models: Exports of one network by name or folder; the others are compared with the first.
        efficientnet: A convolutional model that hears the same seconds, at half overlap.
        live_s: Seconds of each live run, beyond the first segment; none, if 0.
        runs: Number of measured rounds.
        labelled: Exports of the same with activations, in the same order, where the models that are
            timed do without: closeness is theirs.
        progress: Function to call with a line of progress.

    Raises:
        ConfigError: A model without patches.
    """
    for model in (*models, *labelled):
        check_patches(info(model))
    segments = Segments.of(models[0])
    report = Report(
        "patchout",
        "A segment of a transformer, patches left out",
        {"models": [info(model).name for model in models], "live_s": live_s, "runs": runs},
        reference=EFFICIENTNET if efficientnet else "",
    )
    music = music_frames(segments.size, segments.front_end)
    settings = list(_settings(models, labelled or models))
    measurements = {setting.name: setting.timed(music) for setting in settings}
    if efficientnet is not None:
        measurements[EFFICIENTNET] = convolutional(efficientnet, music)
    taken = alternate(measurements, runs, progress=progress)
    _fill(report, settings, music, taken, segments.seconds)
    if live_s:
        patchout_live.measure(report, models, efficientnet, live_s, runs, progress)
        progress("live: adaptive")
        patchout_adaptive.measure(report, models[0], min(taken[settings[0].name]))
    return report


@dataclass(frozen=True, slots=True)
class Setting:
    """A model and the patches that are kept.

    Attributes:
        model: Export that is timed, by name or folder.
        compared: Export whose outputs are compared.
        kind: Precision or name, whichever differs from that of the other models.
        first: The kind of the first model.
        every: Every n-th column is kept.
        dropped: Number of rows that are left out.
    """

    model: str
    compared: str
    kind: str
    first: str
    every: int
    dropped: int

    @property
    def name(self) -> str:
        """Name of the row."""
        return f"{self.kind}, every {self.every}, {self.dropped} rows out"

    @property
    def same_of_first(self) -> str:
        """Name of the first model's row with the same patches."""
        return f"{self.first}, every {self.every}, {self.dropped} rows out"

    @property
    def patchout(self) -> Patchout:
        """Patches that the row keeps."""
        return Patchout(keep_every=self.every, drop_rows=DROPPED[self.dropped])

    def timed(self, music: Frames) -> Measurement:
        """Measurement of the time of one segment, in seconds."""
        return timed(whole_segment(self.model, self.patchout, music))

    def outputs(self, music: Frames) -> Outputs:
        """Outputs of the compared export for one segment of music, (frames, bands)."""
        return whole_segment(self.compared, self.patchout, music)()

    def figures(self) -> dict[str, Figure]:
        """Columns that describe the row; `tokens` counts those that the blocks see."""
        grid = info(self.model).patch_grid
        assert grid is not None  # `check_patches` has refused a model without
        return {
            "model": self.kind,
            "keep every": self.every,
            "rows out": self.dropped,
            "tokens": grid.tokens(self.patchout) + 2,
        }


def _settings(models: Sequence[str], compared: Sequence[str]) -> Iterator[Setting]:
    kinds = [info(model).precision or info(model).name for model in models]
    if len(set(kinds)) < len(kinds):
        kinds = [info(model).name for model in models]
    for model, other, kind in zip(models, compared, kinds, strict=True):
        for dropped in DROPPED:
            for every in KEEP_EVERY:
                yield Setting(model, other, kind, kinds[0], every, dropped)


def _fill(
    report: Report,
    settings: Sequence[Setting],
    music: Frames,
    taken: Mapping[str, Sequence[float]],
    seconds: float,
) -> None:
    """Rows of all settings, and of what they are compared with, for segments of some seconds."""
    outputs = {setting.name: setting.outputs(music) for setting in settings}
    full = outputs[settings[0].name]
    for setting in settings:
        found = outputs[setting.name]
        row = {
            **setting.figures(),
            **_speed(setting.name, taken, seconds),
            **closeness(found, full),
        }
        if setting.kind != setting.first:
            same = closeness(found, outputs[setting.same_of_first])
            row["cosine to the first"] = same.get("cosine")
        report.row(setting.name, row)
    if EFFICIENTNET in taken:
        report.row(EFFICIENTNET, _speed(EFFICIENTNET, taken, seconds))
        precision, _, patchout = CHEAPEST
        name = f"{precision}, every {patchout.keep_every}, {len(patchout.drop_rows)} rows out"
        if name in report.rows:
            patchout_live.add_target_of_speed(report, name)


def _speed(name: str, taken: Mapping[str, Sequence[float]], seconds: float) -> dict[str, Figure]:
    figures: dict[str, Figure] = {
        "ms": Spread.of(taken[name]).scaled(1e3),
        SPEED: Spread.of(taken[name]).inverse(seconds),
    }
    if EFFICIENTNET in taken:
        figures["times EfficientNet"] = ratios(taken[EFFICIENTNET], taken[name])
    return figures


def whole_segment(model: str, patchout: Patchout, mel: Frames) -> Callable[[], Outputs]:
    """A function that runs a whole segment, with nothing cached, and returns its outputs.

    Args:
        model: Name or folder of the export.
        patchout: Patches that are kept.
        mel: Mel frames of the segment, (frames, bands) float32.
    """
    segments = Segments.of(model)
    grid = segments.card.patch_grid
    assert grid is not None
    session = open_patch_session(find(model), ("cpu",), 1)
    inference = PatchInference(session, grid, patchout)
    normalised = segments.normalised(mel)
    names = [output.name for output in segments.card.io.outputs]

    def work() -> Outputs:
        inference.use(patchout)  # forgets what was projected
        return dict(zip(names, inference.run(names, 0, normalised), strict=True))

    return work


def convolutional(model: str, mel: Frames) -> Measurement:
    """The seconds that a model takes for frames in segments that overlap by half."""
    size = info(model).segment_size
    if size is None or size > len(mel):
        name = info(model).name
        raise ConfigError(f"{name}: not a model whose segments fit into {len(mel)} frames")
    session = open_session(find(model), ("cpu",), 1)
    name = session.get_inputs()[0].name
    inputs = [{name: mel[None, at : at + size]} for at in half_overlap(size, len(mel))]

    def work() -> None:
        for each in inputs:
            session.run(None, each)

    return timed(work)


def closeness(outputs: Outputs, full: Outputs) -> dict[str, Figure]:
    """Cosine of the embeddings, and the share of the five strongest labels that are the same.

    Outputs have a batch of one: embeddings (1, size), activations (1, classes).
    """
    found: dict[str, Figure] = {}
    if "embeddings" in outputs and "embeddings" in full:
        found["cosine"] = cosine(outputs["embeddings"][0], full["embeddings"][0])
    if "activations" in outputs and "activations" in full:
        best, truth = _strongest(outputs), _strongest(full)
        found["top 5"] = len(best & truth) / len(truth)
    return found


def _strongest(outputs: Outputs) -> set[int]:
    return set(np.argsort(-outputs["activations"][0])[:5].tolist())
