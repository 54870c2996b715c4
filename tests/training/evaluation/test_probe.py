"""Heads: sizes of the papers, learning, choosing an epoch, and what they say of a track."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="heads are trained with torch")
pytest.importorskip("pyarrow", reason="auricle.training.data.manifest reads Parquet")

import torch

from auricle.errors import TrainingError
from auricle.training.data.tasks import Task
from auricle.training.evaluation import probe
from auricle.training.evaluation.embeddings import even_segments, means, random_segments
from auricle.training.evaluation.folds import fixed_fold
from tests.training.clusters import GENRES, SIZE, corpus, single

MANIFEST, STORE = corpus()
TASK = single(MANIFEST)
FOLD = fixed_fold(TASK)
WRONG = replace(
    TASK,
    targets={
        t: target if t in FOLD.validation else ((target[0] + 1) % 3,)
        for t, target in TASK.targets.items()
    },
)
PROTOCOLS = list(probe.PROTOCOLS.values())


@pytest.mark.parametrize(
    ("size", "parameters"), [(1280, 681_522), (5120, 2_647_602), (2304, 1_205_810)]
)
def test_parameter_counts_of_the_papers(size: int, parameters: int) -> None:
    network = probe.network(size, 50, probe.COLA)
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
@pytest.mark.parametrize("multilabel", [False, True])
def test_artists_it_has_not_met_are_classified(protocol: probe.Protocol, multilabel: bool) -> None:
    task = replace(TASK, multilabel=multilabel)
    head = probe.train_probe(STORE, task, FOLD.train, FOLD.validation, protocol)
    activations = head(STORE, FOLD.test)
    truth = [TASK.targets[t][0] for t in FOLD.test]
    assert np.mean(activations.argmax(axis=1) == truth) >= 0.9
    assert 1 <= head.epoch <= protocol.epochs
    if not multilabel:
        np.testing.assert_allclose(activations.sum(axis=1), 1, atol=1e-5)


def test_the_seed_decides() -> None:
    protocol = replace(probe.MAEST, takes="segment", best="loss")  # has every random draw
    first, again, other = (
        probe.train_probe(STORE, TASK, FOLD.train, FOLD.validation, protocol, seed)(
            STORE, FOLD.test
        )
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_training_leaves_the_generator_of_torch_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    probe.train_probe(STORE, TASK, FOLD.train, FOLD.validation, replace(probe.COLA, epochs=1))
    assert torch.equal(torch.rand(3), expected)


def test_a_track_is_the_mean_of_activations_or_the_activation_of_its_mean() -> None:
    segment = probe.train_probe(STORE, TASK, FOLD.train, FOLD.validation, probe.THESIS)
    ids = list(STORE)[:5]
    expected = [segment.activations(STORE[t].astype(np.float32)).mean(axis=0) for t in ids]
    np.testing.assert_allclose(segment(STORE, ids), expected, atol=1e-6)
    mean = replace(segment, protocol=replace(probe.THESIS, takes="mean"))
    expected = [
        mean.activations(STORE[t].mean(axis=0, dtype=np.float32)[np.newaxis])[0] for t in ids
    ]
    np.testing.assert_allclose(mean(STORE, ids), expected, atol=1e-6)
    assert not np.allclose(mean(STORE, ids), segment(STORE, ids), atol=1e-6)


def test_more_tracks_than_are_read_at_once() -> None:
    head = probe.train_probe(
        STORE, TASK, FOLD.train, FOLD.validation, replace(probe.THESIS, epochs=1)
    )
    ids = list(STORE) * 10
    assert len(ids) > 2 * probe._TRACKS_AT_ONCE
    np.testing.assert_allclose(
        head(STORE, ids), np.tile(head(STORE, list(STORE)), (10, 1)), atol=1e-6
    )


def test_weights_are_those_of_the_best_epoch() -> None:
    # Trained on wrong labels, validation gets worse from the first epoch on.
    head = probe.train_probe(STORE, WRONG, FOLD.train, FOLD.validation, probe.COLA)
    one = probe.train_probe(
        STORE, WRONG, FOLD.train, FOLD.validation, replace(probe.COLA, epochs=1)
    )
    assert head.epoch == 1
    np.testing.assert_array_equal(head(STORE, FOLD.test), one(STORE, FOLD.test))


def test_weight_decay_of_several_classes_a_track_is_its_own() -> None:
    strong = replace(probe.COLA, multilabel_weight_decay=10.0)
    for multilabel in (False, True):
        task = replace(TASK, multilabel=multilabel)
        mild, decayed = (
            probe.train_probe(STORE, task, FOLD.train, FOLD.validation, protocol)
            for protocol in (probe.COLA, strong)
        )
        assert np.array_equal(mild(STORE, FOLD.test), decayed(STORE, FOLD.test)) != multilabel


@pytest.mark.parametrize(("epochs", "halved"), [(5, 0), (6, 1), (11, 2)])
def test_rate_that_halves(monkeypatch: pytest.MonkeyPatch, epochs: int, halved: int) -> None:
    rates = []
    monkeypatch.setattr(probe, "_set_rate", lambda optimiser, rate: rates.append(rate))
    # Wrong labels again: no epoch but the first improves, so the rate halves after 5, 10, ... more.
    probe.train_probe(STORE, WRONG, FOLD.train, FOLD.validation, replace(probe.COLA, epochs=epochs))
    assert rates == [5e-4] * halved  # each time from 1e-3, which the patched setter left


def test_dropout_is_in_training_alone() -> None:
    dropped, whole = (
        probe.train_probe(
            STORE, TASK, FOLD.train, FOLD.validation, replace(probe.COLA, dropout=dropout)
        )
        for dropout in (0.5, 0.0)
    )
    assert not np.array_equal(dropped(STORE, FOLD.test), whole(STORE, FOLD.test))
    np.testing.assert_array_equal(dropped(STORE, FOLD.test), dropped(STORE, FOLD.test))


def test_rate_that_warms_up() -> None:
    rates = [probe.warm_up_rate(epoch, 30, 1e-3) for epoch in range(30)]
    assert rates[0] == pytest.approx(1e-3 * np.exp(-5))
    assert rates[5] == pytest.approx(1e-3 * np.exp(-1.25))
    assert rates[10:20] == pytest.approx([1e-3] * 10)
    assert rates[24] == pytest.approx(1e-7 + (1e-3 - 1e-7) / 2)
    assert rates[29] == pytest.approx(1e-7)


def test_grid() -> None:
    tried = probe.protocols_of("maest", grid=True)
    assert len(set(tried)) == 3 * 6 * 2 * 4
    assert {p.hidden for p in tried} == {512}
    assert probe.protocols_of("cola", grid=False) == [probe.COLA]


def test_half_overlapped_segments_of_a_ramp() -> None:
    # Segments of 4 s, 2 s apart, each the mean of a ramp: centres 2, 4, 6; a linear head says their
    # mean.
    ramp = np.array([[2.0], [4.0], [6.0]], np.float16)
    rows, starts = even_segments({"a": ramp, "b": ramp[:1]}, ["a", "b"])
    assert rows[:, 0].tolist() == [2, 4, 6, 2]
    assert starts.tolist() == [0, 3]
    assert means({"a": ramp}, ["a"]).tolist() == [[4]]


def test_evenly_spaced_segments() -> None:
    numbers = np.arange(10, dtype=np.float32)[:, np.newaxis]
    assert even_segments({"a": numbers}, ["a"], 3)[0][:, 0].tolist() == [1, 5, 8]
    assert even_segments({"a": numbers}, ["a"], 20)[0][:, 0].tolist() == list(range(10))


def test_random_segments_are_drawn_from_the_whole_track() -> None:
    numbers = {"a": np.arange(4, dtype=np.float32)[:, np.newaxis]}
    rng = np.random.default_rng(6)
    drawn = [random_segments(numbers, ["a"], rng)[0, 0] for _ in range(400)]
    assert np.bincount(np.array(drawn, int), minlength=4).min() > 70


@pytest.mark.parametrize(
    ("array", "named"),
    [
        (None, "no embeddings of track '0-0'"),
        (np.zeros((0, SIZE)), r"embeddings of '0-0' have the shape \(0, 12\)"),
        (np.zeros((2, SIZE - 1)), "11"),
        (np.full((2, SIZE), np.inf), "'0-0' have values that are not finite"),
    ],
)
@pytest.mark.parametrize("protocol", [probe.COLA, probe.MAEST], ids=lambda protocol: protocol.name)
def test_bad_embeddings(protocol: probe.Protocol, array: np.ndarray | None, named: str) -> None:
    store: dict[str, np.ndarray] = {t: rows for t, rows in STORE.items() if t != "0-0"}
    if array is not None:
        store["0-0"] = array
    with pytest.raises(TrainingError, match=named):
        probe.train_probe(store, TASK, FOLD.train, FOLD.validation, protocol)


def test_no_tracks_and_no_class() -> None:
    with pytest.raises(TrainingError, match="genre: no tracks to choose the epoch by"):
        probe.train_probe(STORE, TASK, FOLD.train, (), probe.COLA)
    one = Task("one", GENRES[:1], dict.fromkeys(STORE, (0,)), multilabel=True)
    with pytest.raises(TrainingError, match="none of 1 classes"):
        probe.train_probe(STORE, one, FOLD.train, FOLD.validation, probe.MAEST)


def test_a_loss_that_diverges() -> None:
    with pytest.raises(TrainingError, match="never finite"):
        probe.train_probe(STORE, TASK, FOLD.train, FOLD.validation, replace(probe.COLA, lr=1e30))
