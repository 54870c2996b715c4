"""Pairs of tracks that belong together because metadata says so, other ones in each epoch.

A pair is two tracks that share something (P. Alonso-Jimenez, X. Serra, D. Bogdanov, "Music
representation learning based on editorial metadata from Discogs", ISMIR 2022; section 4.2 of
Alonso-Jimenez' thesis, 2024):

- track: a track and itself; two crops will differ.
- release: a release in common.
- artist: an artist in common, and no release.
- label: a label in common, and no artist.

All tracks are in a pool. Each in turn, in random order, gets a partner at random among those in the
pool that comply, and both leave the pool; a track that finds none leaves it alone. So a track is in
one pair at most. The papers draw once, before training.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, get_args

import numba
import numpy as np
from numpy.typing import NDArray

from auricle.compiled import OPTIONS, compiled_and_kept
from auricle.errors import RecipeError
from auricle.training.data.catalogue import Catalogue
from auricle.training.data.csr import Csr

Association = Literal["track", "release", "artist", "label"]
ASSOCIATIONS: Final[tuple[Association, ...]] = get_args(Association)


def draw_pairs(
    catalogue: Catalogue, association: Association, seed: int, epoch: int
) -> NDArray[np.int64]:
    """Pairs of an epoch.

    Args:
        catalogue: Catalogue of n tracks.
        association: What the tracks of a pair have in common.
        seed: Seed, not negative. With `epoch` it decides the pairs: every process draws the same.
        epoch: Number of the epoch.

    Returns:
        (pairs, 2): anchors and positives, tracks as rows of the catalogue, in random order. At most
        n / 2; n for "track".

    Raises:
        RecipeError: The association is unknown.
    """
    if association not in ASSOCIATIONS:
        raise RecipeError(f"association {association!r} must be one of {', '.join(ASSOCIATIONS)}")
    generator = np.random.default_rng((seed, epoch, ASSOCIATIONS.index(association)))
    order = generator.permutation(len(catalogue))
    if association == "track":
        return np.stack((order, order), 1)
    nothing = Csr(np.zeros(len(catalogue) + 1, np.int64), np.zeros(0, np.int32), 0)
    shared, barred = {
        "release": (catalogue.releases, nothing),
        "artist": (catalogue.artists, catalogue.releases),
        "label": (catalogue.labels, catalogue.artists),
    }[association]
    having = shared.transposed()
    parts = ((rows.starts, rows.columns) for rows in (shared, having, barred))
    # Those that were hard to find came last.
    return generator.permutation(_draw(order, *parts, generator))


def alike(
    catalogue: Catalogue, association: str, anchors: NDArray[np.int64], others: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which tracks belong together as the tracks of pairs do, (anchors, others) boolean.

    They are not negatives of each other. A track belongs together with itself. What bars a pair is
    ignored here: two tracks of an artist belong together, whether or not they are on one release.

    Args:
        catalogue: Catalogue of n tracks.
        association: As for `draw_pairs`.
        anchors: Rows of the catalogue, (anchors,).
        others: Rows of the catalogue, (others,).
    """
    same: NDArray[np.bool_] = anchors[:, None] == others
    if association == "track":
        return same
    shared: Csr = {
        "release": catalogue.releases,
        "artist": catalogue.artists,
        "label": catalogue.labels,
    }[association]
    columns = np.unique(np.concatenate([shared[track] for track in anchors]))

    def having(tracks: NDArray[np.int64]) -> NDArray[np.float32]:
        rows = [np.isin(columns, shared[track], assume_unique=True) for track in tracks]
        return np.array(rows, np.float32)

    return same | (having(anchors) @ having(others).T > 0)


# -- drawing ---------------------------------------------------------------------------------------
#
# In what follows `shared`, `having` and `barred` are pairs of starts and columns, as in `Csr`: what
# rows can share, the same transposed, and what the rows of a pair must not share. Each column has a
# list of its rows in `having`, of which the first `live` may still be in the pool; a row that has
# left is taken off the list where it is met, so it is met once a list.
#
# Time grows with the square of a list on which no two tracks comply: 10,000 tracks of a
# label that has one artist take 0.3 s, and 50,000 take 9 s. Such labels are small.


def _compiled(function: Callable[..., Any]) -> Any:
    """Compiles a helper into each function that calls it."""
    return numba.njit(forceinline=True, **OPTIONS)(function)


@_compiled
def _first_common(rows: Any, one: int, other: int) -> int:
    """The lowest column that two rows have in common; -1, if none."""
    starts, columns = rows
    i, j = starts[one], starts[other]
    while i < starts[one + 1] and j < starts[other + 1]:
        if columns[i] == columns[j]:
            return int(columns[i])
        if columns[i] < columns[j]:
            i += 1
        else:
            j += 1
    return -1


@_compiled
def _complies(anchor: int, candidate: int, column: int, shared: Any, barred: Any) -> bool:
    """Whether two rows make a pair, `column` being the first that they share.

    A candidate that shares several columns is on several lists; so it counts on one, and is no
    likelier.
    """
    first = _first_common(shared, anchor, candidate)
    return bool(first == column and _first_common(barred, anchor, candidate) < 0)


@_compiled
def _off(place: int, column: int, having: Any, live: Any) -> None:
    """Take the row at `place` off the list of a column."""
    live[column] -= 1
    having[1][place] = having[1][having[0][column] + live[column]]


@_compiled
def _try_some(
    anchor: int, shared: Any, having: Any, barred: Any, live: Any, pool: Any, generator: Any
) -> int:
    """A partner drawn at random; -1 if none is found in a quarter as many tries as candidates."""
    entry, end = shared[0][anchor], shared[0][anchor + 1]
    entries = 0
    for column in shared[1][entry:end]:
        entries += live[column]
    tries = entries // 4
    while tries > 0 and entries > 0:
        place = int(generator.random() * entries)
        column = -1
        for column in shared[1][entry:end]:
            if place < live[column]:
                break
            place -= live[column]
        place += having[0][column]
        candidate = having[1][place]
        if pool[candidate]:
            if _complies(anchor, candidate, column, shared, barred):
                return int(candidate)
            tries -= 1
        else:
            _off(place, column, having, live)
            entries -= 1
    return -1


@_compiled
def _look_at_all(
    anchor: int, shared: Any, having: Any, barred: Any, live: Any, pool: Any, generator: Any
) -> int:
    """A random partner among all that comply; -1 if no track does."""
    partner, complying = -1, 0
    for column in shared[1][shared[0][anchor] : shared[0][anchor + 1]]:
        place = having[0][column]
        while place < having[0][column] + live[column]:
            candidate = having[1][place]
            if not pool[candidate]:
                _off(place, column, having, live)
                continue
            if _complies(anchor, candidate, column, shared, barred):
                complying += 1
                if generator.random() * complying < 1:
                    partner = int(candidate)
            place += 1
    return partner


@compiled_and_kept
def _draw(order: Any, shared: Any, having: Any, barred: Any, generator: Any) -> Any:
    """Pairs of rows, (pairs, 2), looking for partners in `order`; `having` is changed."""
    live = having[0][1:] - having[0][:-1]
    pool = np.ones(len(order), np.bool_)
    pairs = np.empty((len(order) // 2, 2), np.int64)
    found = 0
    for anchor in order:
        if not pool[anchor]:
            continue
        pool[anchor] = False
        partner = _try_some(anchor, shared, having, barred, live, pool, generator)
        if partner < 0:
            partner = _look_at_all(anchor, shared, having, barred, live, pool, generator)
        if partner >= 0:
            pool[partner] = False
            pairs[found, 0], pairs[found, 1] = anchor, partner
            found += 1
    return pairs[:found].copy()
