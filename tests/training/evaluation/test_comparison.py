"""Comparing embeddings."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="heads are trained with torch")
pytest.importorskip("pyarrow", reason="auricle.training.data.manifest reads Parquet")
pytest.importorskip("faiss", reason="search is faiss'")

from auricle.errors import TrainingError
from auricle.training.data.manifest_tasks import artist_groups
from auricle.training.data.tasks import Task
from auricle.training.evaluation import comparison as evaluation
from auricle.training.evaluation.comparison import Result
from auricle.training.evaluation.folds import Fold, fixed_fold, stratified_folds
from auricle.training.evaluation.probe import COLA
from tests.training.clusters import GENRES, corpus, single

MANIFEST, STORE = corpus()
TASK = single(MANIFEST)
FOLD = fixed_fold(TASK)
NOISE = {
    t: np.random.default_rng(n).normal(size=rows.shape) for n, (t, rows) in enumerate(STORE.items())
}
QUICK = replace(COLA, epochs=8)


def test_every_training_fold_and_seed_is_a_run() -> None:
    calls: list[None] = []
    folds = stratified_folds(TASK, 3, groups=artist_groups(MANIFEST))
    runs = list(
        evaluation.heads(
            TASK, [STORE, STORE], folds, [QUICK], seeds=2, advance=lambda: calls.append(None)
        )
    )
    assert len(runs) == len(calls) == 2 * 3 * 2
    (result,) = evaluation.results_of(TASK, "clusters", runs)
    assert (result.metric, len(result.values), result.left_out) == ("accuracy", 12, ())
    assert result.mean == pytest.approx(np.mean([run.figures["accuracy"] for run in runs]))
    assert result.deviation == pytest.approx(np.std(result.values, ddof=1))
    assert result.values[:6] == result.values[6:]  # the same embeddings, folds and seeds
    assert sum(run.confusion.sum() for run in runs if run.confusion is not None) == 4 * len(
        TASK.targets
    )


def test_clusters_are_better_than_noise() -> None:
    good, bad = (
        evaluation.results_of(
            TASK, "m", list(evaluation.heads(TASK, [store], [FOLD], [COLA], seeds=2))
        )[0]
        for store in (STORE, NOISE)
    )
    assert good.mean > 0.9
    assert bad.mean < 0.67


def test_embeddings_are_reduced_by_what_trains_alone() -> None:
    # In two dimensions that differ among training tracks only by genre, genres stay apart.
    runs = list(evaluation.heads(TASK, [STORE], [FOLD], [COLA], pca=2))
    assert runs[0].figures["accuracy"] > 0.9
    # A dimension that differs among test tracks only is not a component.
    shouts = {t: 99.0 * (-1) ** n for n, t in enumerate(FOLD.test)}
    shouted = {
        t: np.pad(rows, ((0, 0), (0, 1)), constant_values=shouts.get(t, 0))
        for t, rows in STORE.items()
    }
    again = list(evaluation.heads(TASK, [shouted], [FOLD], [COLA], pca=2))
    assert again[0].figures["accuracy"] == runs[0].figures["accuracy"]


def test_a_class_without_positives_is_left_out_and_named() -> None:
    targets = {
        t: () if t in FOLD.train and target == (1,) else target
        for t, target in TASK.targets.items()
    }
    task = Task("t", (*GENRES, "never"), targets, multilabel=True, parts=TASK.parts)
    (run,) = evaluation.heads(task, [STORE], [FOLD], [QUICK])
    assert run.left_out == ("rock", "never")
    assert list(run.per_class) == ["jazz", "techno"]
    expected = np.mean([run.per_class["jazz"], run.per_class["techno"]])
    assert run.figures["average_precision"] == pytest.approx(expected)
    assert evaluation.results_of(task, "m", [run])[0].left_out == ("rock", "never")
    assert set(evaluation.class_results(task, "m", [run, run])) == {"jazz", "techno"}


def test_one_class_a_track_with_a_class_that_was_not_trained() -> None:
    train = tuple(t for t in FOLD.train if TASK.targets[t] != (1,))
    (run,) = evaluation.heads(TASK, [STORE], [replace(FOLD, train=train)], [QUICK])
    assert run.left_out == ("rock",)
    assert run.confusion is not None
    assert run.confusion.sum() == 12  # of 18; six are rock
    rock = tuple(t for t in FOLD.test if TASK.targets[t] == (1,))
    with pytest.raises(TrainingError, match="no track of the test has a class that was trained"):
        list(evaluation.heads(TASK, [STORE], [Fold(train, FOLD.validation, rock)], [QUICK]))


def test_the_best_of_a_grid() -> None:
    useless = replace(QUICK, lr=1e-9)
    for by in ("loss", "roc_auc"):
        tried = [
            replace(useless, best=by),
            replace(COLA, best=by),
            replace(useless, best=by, epochs=2),
        ]
        assert evaluation.best_probe(STORE, TASK, FOLD, tried).protocol == tried[1]


def test_few_tracks_of_each_class() -> None:
    rng = np.random.default_rng(7)
    chosen = evaluation.few(TASK, FOLD.train, 2, rng)
    assert sorted(TASK.targets[t][0] for t in chosen) == [0, 0, 1, 1, 2, 2]
    assert set(chosen) <= set(FOLD.train)
    assert evaluation.few(TASK, FOLD.train, 99, rng) == FOLD.train
    both = Task("t", ("a", "b"), {"x": (0, 1), "y": ()}, multilabel=True)
    assert evaluation.few(both, ["x", "y"], 1, rng) == ("x",)


def test_learning_curves_rise_and_have_a_run_a_trial_and_fold() -> None:
    loud = corpus(noise=1.0)[1]
    points = evaluation.learning_curve(
        TASK, [loud], [FOLD], [COLA], model="m", examples=(1, 6), trials=4
    )
    assert [(point.examples, len(point.values)) for point in points] == [(1, 4), (6, 4)]
    assert points[1].mean > points[0].mean
    assert len(set(points[0].values)) > 1  # trials draw other tracks


def test_another_collection_with_other_names() -> None:
    names = ("Techno & House", "spoken", "Jazz")
    index = {0: (2,), 1: (1,), 2: (0,)}  # jazz, rock as what "spoken" is not, techno
    theirs = {f"their {t}": index[target[0]] for t, target in TASK.targets.items()}
    other = Task("other", names, theirs, multilabel=False)
    store = {f"their {t}": rows for t, rows in corpus(noise=0.4)[1].items()}
    mapping = {"Jazz": "jazz", "Techno & House": "techno"}
    runs = evaluation.cross_collection(TASK, STORE, other, store, mapping, [COLA], seeds=2)
    assert len(runs) == 2
    for run in runs:
        assert run.figures["accuracy"] > 0.9
        assert list(run.per_class) == ["Jazz", "Techno & House"]
        assert run.confusion is not None
        assert run.confusion.sum() == 36  # rock is neither counted nor chosen


def test_a_class_of_a_mapping_that_is_not_there() -> None:
    with pytest.raises(
        TrainingError, match="genre: no class 'polka'; classes are: jazz, rock, techno"
    ):
        evaluation.cross_collection(TASK, STORE, TASK, STORE, {"jazz": "polka"}, [COLA])
    several = replace(TASK, multilabel=True)
    with pytest.raises(TrainingError, match="several classes"):
        evaluation.cross_collection(TASK, STORE, several, STORE, {"jazz": "jazz"}, [COLA])


def test_retrieval_of_each_training() -> None:
    ids = list(STORE)
    artists = {track.track_id: track.artists for track in MANIFEST}
    found = evaluation.retrieval_results("artist-retrieval", "m", [STORE, NOISE], ids, artists)
    assert [result.metric for result in found] == ["mAP", "recall@1", "recall@5", "recall@10"]
    good, bad = found[0].values
    assert good > 0.8 > 0.4 > bad


def test_one_value_has_no_deviation() -> None:
    assert Result("t", "m", "mAP", (0.5,)).deviation is None
