"""Patchout levels: what may be asked for, what is refused, and which one is used."""

from __future__ import annotations

from typing import Any

import pytest

from auricle.errors import ConfigError
from auricle.models.card import Card, load_card
from auricle.models.inference import Levels
from auricle.models.patchout import Kept, Patchout
from tests.tiny import GRID, LEVELS, make_backbone, make_transformer

FULL, HALF, LEAST = LEVELS


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Card:
    return load_card(make_transformer(tmp_path_factory.mktemp("levels") / "tiny"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Card:
    """Card of a model without patches."""
    return load_card(make_backbone(tmp_path_factory.mktemp("levels") / "plain"))


def test_the_first_level_of_the_card_is_the_default(card: Card) -> None:
    assert Levels(card).allowed == (FULL,)
    assert Levels(card, adaptive=True).allowed == (FULL, HALF, LEAST)
    assert Levels(card, "half", adaptive=True).allowed == (HALF, LEAST)
    assert Levels(card, Patchout(keep_every=5)).allowed == (Patchout(keep_every=5),)


def test_without_levels_in_the_card_all_patches_are_the_default(card: Card) -> None:
    assert Levels(card.model_copy(update={"patchout": ()})).allowed == (Patchout(),)


def test_what_is_not_asked_for_stays_as_it_is(card: Card) -> None:
    levels = Levels(card, adaptive=True)
    assert levels.validate() == (FULL, HALF, LEAST)
    levels.allow(levels.validate("half"))
    assert levels.validate() == (HALF, LEAST), "another level, and adaptive as before"
    levels.allow(levels.validate(adaptive=False))
    assert levels.validate() == (HALF,), "no longer adaptive, and the level as before"
    assert levels.validate("full") == (FULL,)
    assert levels.validate(adaptive=True) == (HALF, LEAST)
    assert levels.allowed == (HALF,), "nothing changes before it is allowed"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"patchout": "most"}, "no patchout level 'most'; levels are: full, half, least"),
        ({"patchout": {"keep_every": 0}}, r"^patchout\.keep_every=0: [^;=]* or equal to 1$"),
        ({"patchout": {"keep_evry": 2}}, r"^no parameter 'patchout\.keep_evry'"),
        ({"patchout": 3}, r"^patchout=3: a mapping of parameters is needed"),
        ({"patchout": ["half"]}, r"^patchout=\['half'\]: a mapping of parameters is needed"),
        ({"patchout": {"drop_rows": list(range(9))}}, "all 9 rows are dropped"),
        ({"patchout": {"drop_rows": [9]}}, "no row 9; rows are 0 to 8"),
        ({"patchout": {"drop_rows": "all"}}, r"^patchout\.drop_rows='all': "),
        ({"patchout": "least", "adaptive": True}, "no level is cheaper than least"),
        ({"adaptive": 1}, "adaptive=1: input should be true or false"),
        ({"adaptive": "yes"}, "adaptive='yes': input should be true or false"),
        ({"adaptive": {}}, r"adaptive=\{\}: input should be true or false"),
    ],
)
def test_what_json_may_hold_and_cannot_be_used_is_refused_in_one_line(
    card: Card, asked: dict[str, Any], message: str
) -> None:
    levels = Levels(card, "half")
    with pytest.raises(ConfigError, match=message) as caught:
        levels.validate(**asked)
    assert "\n" not in str(caught.value)
    assert levels.allowed == (HALF,)


def test_a_model_without_patches_has_no_levels(plain: Card) -> None:
    levels = Levels(plain)
    assert levels.allowed == levels.validate() == levels.validate(None, False) == ()
    assert not levels.choose(3)
    assert (levels.current, levels.current_kept, levels.cheaper) == (None, None, 0)
    assert levels.settings() == levels.describe() == {}
    assert levels.to_prepare(all_levels=True) == ()
    refused: tuple[dict[str, Any], ...] = (
        {"patchout": "full"},
        {"patchout": {}},
        {"adaptive": True},
    )
    for asked in refused:
        with pytest.raises(ConfigError, match="tiny: not a model whose patches"):
            levels.validate(**asked)
        with pytest.raises(ConfigError, match="not a model whose patches can be left out"):
            Levels(plain, **asked)


def test_what_is_not_ready_is_refused(card: Card) -> None:
    ready = {GRID.kept(level) for level in LEVELS}

    def is_ready(kept: Kept) -> bool:
        return kept in ready

    levels = Levels(card)
    assert levels.validate("half", is_ready=is_ready) == (HALF,)
    assert levels.validate({"keep_every": 2}, is_ready=is_ready) == (Patchout(keep_every=2),)
    with pytest.raises(ConfigError, match=r"every 7 was not warmed up.*; levels are: full, half,"):
        levels.validate({"keep_every": 7}, is_ready=is_ready)


def test_the_level_follows_the_steps_as_far_as_there_are_cheaper_ones(card: Card) -> None:
    levels = Levels(card, adaptive=True)
    assert (levels.current, levels.cheaper) == (None, 2)
    chosen = []
    for step in (0, 0, 1, 2, 5, 1):
        changed = levels.choose(step)
        chosen.append((str(levels.current), changed))
        assert levels.current is not None
        assert levels.current_kept == GRID.kept(levels.current)
    assert chosen == [
        ("full", True),
        ("full", False),
        ("half", True),
        ("least", True),
        ("least", False),
        ("half", True),
    ]
    levels.allow((FULL,))
    assert levels.choose(4)
    assert (levels.current, levels.cheaper) == (FULL, 0)


def test_what_is_prepared(card: Card) -> None:
    setting = Patchout(keep_every=5)
    assert Levels(card, setting).to_prepare(all_levels=False) == (setting,)
    assert Levels(card, setting).to_prepare(all_levels=True) == (setting, FULL, HALF, LEAST)


@pytest.mark.parametrize(
    ("patchout", "adaptive", "settings"),
    [
        (None, False, {"patchout": "full", "adaptive": False}),
        ("half", True, {"patchout": "half", "adaptive": True}),
        (
            {"keep_every": 4, "drop_rows": [1]},
            False,
            {"patchout": {"keep_every": 4, "drop_rows": [1]}, "adaptive": False},
        ),
    ],
)
def test_settings_lead_to_the_same_levels(
    card: Card, patchout: Any, adaptive: bool, settings: dict[str, Any]
) -> None:
    levels = Levels(card, patchout, adaptive)
    assert levels.settings() == settings
    assert Levels(card, **settings).allowed == levels.allowed


def test_a_display_gets_the_levels_by_name(card: Card) -> None:
    levels = Levels(card, "half", adaptive=True)
    names = {"allowed": ["half", "least"], "levels": ["full", "half", "least"]}
    assert levels.describe() == {"level": "half", **names}
    levels.choose(1)
    assert levels.describe() == {"level": "least", **names}
