"""Structured patchout at inference: which patches of the spectrogram a transformer looks at.

A spectrogram transformer cuts its input into patches, `rows` along frequency and `columns` along
time, each of which becomes a token. Alonso-Jimenez's thesis (2024, section 6.3.8) leaves patches
out at inference as well: only every n-th column is kept, and some rows are dropped. The work falls
faster than the number of tokens.
"""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from auricle.errors import ModelError

KEEP_T: Final = "keep_t"
"""Input of an exported model: indices of the kept columns, int64, in ascending order."""

KEEP_F: Final = "keep_f"
"""Input of an exported model: indices of the kept rows, int64, in ascending order."""

PATCHES: Final = "patches"
"""Value inside an exported model: kept patches after projection, (batch, rows, columns, width)."""


Kept = tuple[tuple[int, ...], tuple[int, ...]]
"""Indices of the kept columns and of the kept rows, each in ascending order."""


class Patchout(BaseModel):
    """Which patches are kept."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    keep_every: int = Field(
        1, ge=1, description="Columns of patches of which one is kept, beginning with the first."
    )
    drop_rows: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (), description="Rows of patches that are left out; 0 is the lowest in frequency."
    )

    def __str__(self) -> str:
        rows = f", without rows {' '.join(map(str, self.drop_rows))}" if self.drop_rows else ""
        return f"every {self.keep_every}{rows}"


class PatchoutLevel(Patchout):
    """A patchout with a name, as cards list them."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")

    def __str__(self) -> str:
        return self.name


class PatchGrid(BaseModel):
    """How a model cuts its segment into patches.

    Attributes:
        rows: Patches along frequency.
        columns: Patches along time.
        size: Frames, and bands, of a patch.
        stride: Frames, and bands, from one patch to the next.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rows: int = Field(gt=0)
    columns: int = Field(gt=0)
    size: int = Field(gt=0)
    stride: int = Field(gt=0)

    def patches(self, length: int) -> int:
        """Number of patches that fit along `length` frames, or bands."""
        return (length - self.size) // self.stride + 1

    def kept(self, patchout: Patchout) -> Kept:
        """Indices of the columns and of the rows that are kept.

        Raises:
            ModelError: No row is left, or a dropped row does not exist.
        """
        beyond = [row for row in patchout.drop_rows if row >= self.rows]
        if beyond:
            raise ModelError(f"drop_rows: no row {beyond[0]}; rows are 0 to {self.rows - 1}")
        rows = tuple(row for row in range(self.rows) if row not in patchout.drop_rows)
        if not rows:
            raise ModelError(
                f"drop_rows: all {self.rows} rows are dropped; at least one must remain"
            )
        return tuple(range(0, self.columns, patchout.keep_every)), rows

    def tokens(self, patchout: Patchout) -> int:
        """Number of patches, that is tokens, that are kept."""
        columns, rows = self.kept(patchout)
        return len(columns) * len(rows)


THESIS_LEVELS: Final = (
    PatchoutLevel(name="full"),
    PatchoutLevel(name="t2", keep_every=2),
    PatchoutLevel(name="t3-f3", keep_every=3, drop_rows=(0, 7, 8)),
    PatchoutLevel(name="t5-f3", keep_every=5, drop_rows=(0, 7, 8)),
    PatchoutLevel(name="t10-f4", keep_every=10, drop_rows=(0, 1, 7, 8)),
)
"""Levels of the thesis, from the whole model to the cheapest. Three rows dropped are the lowest and
the two highest; four are the two lowest and the two highest."""
