"""Patchout levels of a stream's model: the one to use, and cheaper ones to go to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from auricle.errors import ConfigError, ModelError, describe_invalid
from auricle.models.card import Card
from auricle.models.patchout import Kept, Patchout, PatchoutLevel


class Levels:
    """The level that one stream uses while there is enough time, and the cheaper ones it may go to.

    Threads: `allowed` is replaced as a whole, by `allow` on the control thread; the thread that
    runs the stream reads it once per segment, in `choose`, and alone changes `current`.

    Args:
        card: Card of the model.
        patchout: Name of a level of the card, or another setting; None for the card's first level,
            or all patches.
        adaptive: Whether to go to cheaper levels of the card while there is not enough time.

    Attributes:
        allowed: Level to use while there is enough time, then the cheaper ones; empty for a model
            without patches.
        current: Level in use; None before the first segment, and without patches.

    Raises:
        ConfigError: The level is unknown, the setting cannot be used, or the model has no patches.
    """

    def __init__(
        self, card: Card, patchout: str | Patchout | None = None, adaptive: bool = False
    ) -> None:
        self._card = card
        self.allowed = self._checked(patchout, adaptive)
        self.current: Patchout | None = None

    def validate(
        self,
        patchout: str | Patchout | Mapping[str, Any] | None = None,
        adaptive: bool | None = None,
        is_ready: Callable[[Kept], bool] | None = None,
    ) -> tuple[Patchout, ...]:
        """Find the levels that a request would allow; nothing changes.

        Args:
            patchout: Name of a level of the card, or `keep_every` and `drop_rows`; None keeps the
                present one. May be any value of JSON.
            adaptive: Whether to go to cheaper levels; None keeps the present choice. May be any
                value of JSON.
            is_ready: Function that says whether the patches of a level can be run without a delay;
                None if all can.

        Returns:
            Levels for `allow`, in the form of `allowed`.

        Raises:
            ConfigError: A value has the wrong type, a level is unknown or not ready, or the model
                has no patches.
        """
        if not isinstance(adaptive, bool | None):
            raise ConfigError(f"adaptive={adaptive!r}: input should be true or false")
        if patchout is None and self.allowed:
            patchout = self.allowed[0]
        if adaptive is None:
            adaptive = len(self.allowed) > 1
        levels = self._checked(patchout, adaptive)
        if levels and is_ready is not None and not is_ready(self.kept(levels[0])):
            known = ", ".join(each.name for each in self._card.patchout) or "none"
            raise ConfigError(
                f"patchout: {levels[0]} was not warmed up, and would hold up all streams; levels "
                f"are: {known}"
            )
        return levels

    def _checked(
        self, patchout: str | Patchout | Mapping[str, Any] | None, adaptive: bool
    ) -> tuple[Patchout, ...]:
        card, grid = self._card, self._card.patch_grid
        if grid is None:
            if patchout is not None or adaptive:
                raise ConfigError(f"{card.name}: not a model whose patches can be left out")
            return ()
        level, tokens = self._resolved(patchout)
        if not adaptive:
            return (level,)
        cheaper = [each for each in card.patchout if grid.tokens(each) < tokens]
        if not cheaper:
            raise ConfigError(
                f"{card.name}: no level is cheaper than {level}, and adaptive needs one; "
                "set adaptive: false too (auricle control: --fixed)"
            )
        return (level, *cheaper)

    def _resolved(
        self, patchout: str | Patchout | Mapping[str, Any] | None
    ) -> tuple[Patchout, int]:
        """The level of a request, and the number of patches that it keeps."""
        card = self._card
        assert card.patch_grid is not None
        if patchout is None:
            patchout = card.patchout[0] if card.patchout else Patchout()
        try:
            if isinstance(patchout, str):
                level: Patchout = card.level(patchout)
            else:
                level = Patchout.model_validate(patchout)
            return level, card.patch_grid.tokens(level)
        except ValidationError as error:
            raise ConfigError(describe_invalid(error, "patchout")) from None
        except ModelError as error:
            raise ConfigError(f"patchout: {error}") from error

    def allow(self, levels: tuple[Patchout, ...]) -> None:
        """Use other levels, as `validate` returns them, from the next segment on."""
        self.allowed = levels

    @property
    def cheaper(self) -> int:
        """Number of cheaper levels to go to."""
        return max(0, len(self.allowed) - 1)

    def choose(self, step: int) -> bool:
        """Switch to the level for the next segment.

        Args:
            step: Number of levels to go down from the first; the cheapest, if there are fewer.

        Returns:
            Whether the level has changed.
        """
        allowed = self.allowed  # once: the control thread may replace it
        if not allowed:
            return False
        level = allowed[min(step, len(allowed) - 1)]
        changed = level != self.current
        self.current = level
        return changed

    def kept(self, level: Patchout) -> Kept:
        """Indices of the columns and of the rows of patches that a level keeps."""
        assert self._card.patch_grid is not None
        return self._card.patch_grid.kept(level)

    @property
    def current_kept(self) -> Kept | None:
        """Columns and rows that the level in use keeps; None without a level."""
        return None if self.current is None else self.kept(self.current)

    def to_prepare(self, all_levels: bool) -> tuple[Patchout, ...]:
        """Levels to prepare before the first segment.

        Args:
            all_levels: Whether to include all levels of the card, which may be asked for later.
        """
        return (*self.allowed, *(self._card.patchout if all_levels else ()))

    def describe(self) -> dict[str, Any]:
        """The level in use, those allowed and those of the card, by name.

        Empty for a model without patches.
        """
        allowed = self.allowed
        if not allowed:
            return {}
        return {
            "level": str(self.current or allowed[0]),
            "allowed": [str(level) for level in allowed],
            "levels": [level.name for level in self._card.patchout],
        }

    def settings(self) -> dict[str, Any]:
        """The values of `patchout` and `adaptive` that give the levels allowed now.

        In the types of JSON; empty for a model without patches.
        """
        allowed = self.allowed
        if not allowed:
            return {}
        level = allowed[0]
        patchout: Any = level.model_dump(mode="json")
        if isinstance(level, PatchoutLevel):
            patchout = level.name
        return {"patchout": patchout, "adaptive": len(allowed) > 1}
