"""Patchout levels of a stream's model.

Which one to use, which cheaper ones there are, and which others may be asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from auricle.errors import ConfigError, ModelError, describe_invalid
from auricle.models.card import Card
from auricle.models.patchout import Kept, Patchout, PatchoutLevel


class Levels:
    """The level that one stream uses while there is time, and the cheaper ones it may go to.

    Threads: `allowed` is replaced as a whole, by `allow` on the control thread; the thread that
    runs the stream reads it once per segment, in `choose`, and alone changes `current`.

    Args:
        card: The model's card.
        patchout: A level of the card by name, or another setting; the card's first level, or all
            patches, if None.
        adaptive: Whether to go to cheaper levels of the card while there is not enough time.

    Attributes:
        allowed: The level to use while there is time, then the cheaper ones; empty for a model
            without patches.
        current: The level in use; None before the first segment, and without patches.

    Raises:
        ConfigError: An unknown level or a setting that cannot be used, or a model without patches.
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
        """The levels to allow for what is asked for; nothing changes.

        Args:
            patchout: A level of the card by name, or `keep_every` and `drop_rows`; None keeps the
                present one. May be anything that JSON can hold.
            adaptive: Whether to go to cheaper levels; None keeps it as it is. May be anything that
                JSON can hold.
            is_ready: Whether the patches of a level can be run at once; None if any can.

        Returns:
            As `allowed`, to be given to `allow`.

        Raises:
            ConfigError: A value of another type, a level that is unknown or not ready, or a model
                without patches.
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
                f"{card.name}: no level is cheaper than {level}, and adaptive needs one; adaptive: "
                "false goes with it (auricle control: --fixed)"
            )
        return (level, *cheaper)

    def _resolved(
        self, patchout: str | Patchout | Mapping[str, Any] | None
    ) -> tuple[Patchout, int]:
        """The level that is meant, and how many patches it keeps."""
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
        """Use other levels from the next segment on, as `validate` gives them."""
        self.allowed = levels

    @property
    def cheaper(self) -> int:
        """How many cheaper levels there are to go to."""
        return max(0, len(self.allowed) - 1)

    def choose(self, step: int) -> bool:
        """Go to the level for the next segment.

        Args:
            step: How many levels cheaper than the first; the cheapest, if there are fewer.

        Returns:
            Whether it is another level than before.
        """
        allowed = self.allowed  # once: another thread may replace it
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
        """What the level in use keeps; None without one."""
        return None if self.current is None else self.kept(self.current)

    def to_prepare(self, all_levels: bool) -> tuple[Patchout, ...]:
        """Levels to make ready before the first segment.

        Args:
            all_levels: Whether also those of the card that may be asked for later.
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
        """The values of `patchout` and `adaptive` that lead to what is allowed.

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
