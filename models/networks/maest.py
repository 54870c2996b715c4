"""MAEST: a transformer over patches of the mel spectrogram, many of which can be left out.

P. Alonso-Jiménez, X. Serra, D. Bogdanov, "Efficient supervised training of audio transformers for
music representation learning" (ISMIR 2023), and chapter 6 of Alonso-Jiménez' thesis (2024). It is
the vision transformer ViT-B with DeiT's distillation token, and with PaSST's separate position
encodings of time and frequency (Koutini et al., "Efficient training of audio transformers with
patchout", Interspeech 2022).

Patches of 16 frames by 16 bands are cut every 10 frames and 10 bands. Columns of patches follow
each other in time, rows in frequency; "patchout" leaves out whole columns and rows. Names and
shapes of the parameters are those of the published checkpoints.

The work is split as a stream needs it: `project` depends on the 16 frames of a column alone, so a
live segment can keep the columns that it shares with the one before; `encode` does the rest.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final, Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from auricle.errors import ModelError

PATCH_SIZE: Final = 16
"""Frames, and bands, of a patch."""

STRIDE: Final = 10
"""Frames, and bands, from one patch to the next."""

EMBEDDING_BLOCK: Final = 6
"""Block, from 0, whose tokens make the best embedding (thesis, section 6.3.4, which counts from
1)."""

Kind = Literal["cls", "dist", "avg"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


def patches(length: int) -> int:
    """Number of whole patches along `length` frames or bands."""
    return (length - PATCH_SIZE) // STRIDE + 1


@dataclass(frozen=True, slots=True)
class MaestConfig:
    """Sizes of a network.

    Attributes:
        frames: Frames, of 16 ms each, of the segments that it was made for. They determine the
            number of columns with a position encoding: `frames // 10`, one more than the patches
            that fit.
        n_classes: Number of outputs of the head.
        width: Values of a token.
        depth: Number of blocks.
        n_heads: Number of heads of each attention, which share the width.
        n_mels: Bands of the mel spectrogram.

    Raises:
        ModelError: A size is too small, or the heads do not divide the width.
    """

    frames: int
    n_classes: int = 400
    width: int = 768
    depth: int = 12
    n_heads: int = 12
    n_mels: int = 96

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            least = PATCH_SIZE if name in ("frames", "n_mels") else 1
            if value < least:
                raise ModelError(f"MAEST: {name}={value} must be at least {least}")
        if self.width % self.n_heads:
            raise ModelError(
                f"MAEST: width={self.width} must be a multiple of n_heads={self.n_heads}"
            )

    @classmethod
    def small(cls, frames: int, n_classes: int = 400) -> "MaestConfig":
        """A network of the size of DeiT-Ti, 16 times smaller, for segments of `frames` frames.

        It has 12 blocks too, so block 6 is in the same place.
        """
        return cls(frames, n_classes, width=192, n_heads=3)

    @property
    def time_grid(self) -> int:
        """Number of columns of patches, 10 frames apart, that have a position encoding."""
        return self.frames // STRIDE

    @property
    def freq_grid(self) -> int:
        """Number of rows of patches."""
        return patches(self.n_mels)


CONFIGS: Final = {
    "5s": MaestConfig(312),
    "10s": MaestConfig(625),
    "20s": MaestConfig(1250),
    "30s": MaestConfig(1875),
    "30s-519l": MaestConfig(1875, n_classes=519),
}
"""The published networks."""


@dataclass(frozen=True, slots=True)
class RandomPatchout:
    """Patches that training leaves out at random, by the papers' names; one draw for each batch.

    Attributes:
        s_patchout_t: Number of columns.
        s_patchout_f: Number of rows.
        u_patchout: Number of single patches, of those that the other two leave.
    """

    s_patchout_t: int = 0
    s_patchout_f: int = 0
    u_patchout: int = 0


NO_PATCHOUT: Final = RandomPatchout()


class Maest(nn.Module):
    """The network. In training mode it drops patches and shifts segments in time, both at random.

    Differences from the published code: segments are (batch, frames, bands), not (batch, 1, bands,
    frames); patches that are left out are never projected; patchout at inference is two arguments
    rather than four options of the constructor.

    Args:
        config: Sizes of the network.
        patchout: Patches to leave out in training; no effect in evaluation.
    """

    def __init__(self, config: MaestConfig, patchout: RandomPatchout = NO_PATCHOUT) -> None:
        super().__init__()
        self.config = config
        self.patchout = patchout
        width = config.width
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.dist_token = nn.Parameter(torch.zeros(1, 1, width))
        self.new_pos_embed = nn.Parameter(torch.zeros(1, 2, width))
        self.freq_new_pos_embed = nn.Parameter(torch.zeros(1, width, config.freq_grid, 1))
        self.time_new_pos_embed = nn.Parameter(torch.zeros(1, width, 1, config.time_grid))
        self.patch_embed = _PatchEmbedding(width)
        self.blocks = nn.Sequential(*(_Block(width, config.n_heads) for _ in range(config.depth)))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        # The published heads have torch's own epsilon of 1e-5, unlike every other norm.
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, config.n_classes))
        self.head_dist = nn.Linear(width, config.n_classes)
        self._initialise()

    @property
    def embedding_size(self) -> int:
        """Values of an embedding, shape `(embedding_size,)`."""
        return self.config.width

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        positions = (self.new_pos_embed, self.freq_new_pos_embed, self.time_new_pos_embed)
        for parameter in (self.cls_token, self.dist_token, *positions):
            nn.init.trunc_normal_(parameter, std=0.02)

    def forward(
        self, mel: Tensor, keep_t: Tensor | None = None, keep_f: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Classify segments.

        Args:
            mel: Normalised mel frames, (mel - mean) / std of the model card, shape (batch, frames,
                bands).
            keep_t: Indices of the columns to look at, int64; None for all (in training: a random
                choice).
            keep_f: Indices of the rows to look at, int64; None as for `keep_t`.

        Returns:
            Logits (batch, n_classes), and features (batch, width): the mean of both tokens.

        Raises:
            ModelError: A segment has the wrong shape, or more columns than there are position
                encodings.
        """
        cls, dist = self._summary(mel, keep_t, keep_f)
        features = (cls + dist) / 2
        return self.head(features), features

    def separated(
        self, mel: Tensor, keep_t: Tensor | None = None, keep_f: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As `forward`, but each token with its own head, for training with a teacher.

        The head of the distillation token learns from the teacher. At inference, networks trained
        with a teacher run `forward` as all others do: the authors' own
        (`discogs-maest-30s-pw-73e-ts`) is run with one head on the mean of both tokens, which
        includes what the distillation token learned, and is published on Hugging Face without
        `head_dist`. DeiT takes the mean of both heads instead.

        Args:
            mel: As for `forward`.
            keep_t: As for `forward`.
            keep_f: As for `forward`.

        Returns:
            Logits of the class token and of the distillation token, each (batch, n_classes), and
            features (batch, width).
        """
        cls, dist = self._summary(mel, keep_t, keep_f)
        return self.head(cls), self.head_dist(dist), (cls + dist) / 2

    def embed(
        self,
        mel: Tensor,
        block: int = EMBEDDING_BLOCK,
        kinds: Sequence[Kind] = KINDS,
        keep_t: Tensor | None = None,
        keep_f: Tensor | None = None,
    ) -> Tensor:
        """Embeddings, that is `pool` of `tokens`.

        Args:
            mel: As for `forward`.
            block: Block to take the tokens from, counted from zero.
            kinds: As for `pool`.
            keep_t: As for `forward`.
            keep_f: As for `forward`.

        Returns:
            Shape (batch, len(kinds) * width).

        Raises:
            ModelError: As for `tokens` and `pool`.
        """
        columns, rows, positions = self._choose(mel, keep_t, keep_f)
        return self.summarise(self.project(mel, columns, rows), positions, rows, block, kinds)

    def tokens(
        self,
        mel: Tensor,
        block: int | None,
        keep_t: Tensor | None = None,
        keep_f: Tensor | None = None,
    ) -> Tensor:
        """The residual stream after a block, not normalised; later blocks are not computed.

        Args:
            mel: As for `forward`.
            block: Index of the block, from zero; None for the last.
            keep_t: As for `forward`.
            keep_f: As for `forward`.

        Returns:
            Class token, distillation token, then patches row by row, shape (batch, 2 + kept_f *
            kept_t, width).

        Raises:
            ModelError: As for `forward`; or the network has no such block.
        """
        columns, rows, positions = self._choose(mel, keep_t, keep_f)
        return self.encode(self.project(mel, columns, rows), positions, rows, block)

    def project(self, mel: Tensor, keep_t: Tensor, keep_f: Tensor) -> Tensor:
        """The patches of some columns and rows, projected, without positions.

        Args:
            mel: As for `forward`, of any length.
            keep_t: Indices of the columns, int64; column `i` spans frames `10 i` to `10 i + 15`.
            keep_f: Indices of the rows, int64.

        Returns:
            Shape (batch, kept_f, kept_t, width).

        Raises:
            ModelError: `mel` has another shape.
        """
        self._check(mel)
        projected: Tensor = self.patch_embed(mel, keep_t, keep_f)
        return projected

    def encode(
        self, projected: Tensor, keep_t: Tensor, keep_f: Tensor, block: int | None = None
    ) -> Tensor:
        """Add positions and run the blocks.

        Args:
            projected: Patches from `project`, shape (batch, kept_f, kept_t, width).
            keep_t: Position of each column in its segment, int64, below `config.time_grid`.
            keep_f: Position of each row, int64.
            block: As for `tokens`.

        Returns:
            Tokens in the form of `tokens`.

        Raises:
            ModelError: The number of indices is not that of the columns and rows; or there is no
                such block.
        """
        blocks = self._blocks(block)
        tokens: Tensor = blocks(self._placed(projected, keep_t, keep_f))
        return tokens

    def summarise(
        self,
        projected: Tensor,
        keep_t: Tensor,
        keep_f: Tensor,
        block: int = EMBEDDING_BLOCK,
        kinds: Sequence[Kind] = KINDS,
    ) -> Tensor:
        """The same as `pool` of `encode`; the last block computes no more than that needs.

        Args:
            projected: As for `encode`.
            keep_t: As for `encode`.
            keep_f: As for `encode`.
            block: As for `encode`.
            kinds: As for `pool`.

        Returns:
            Embeddings, shape (batch, len(kinds) * width).

        Raises:
            ModelError: As for `encode` and `pool`.
        """
        blocks = self._blocks(block)
        last = cast(_Block, blocks[-1])
        x = blocks[:-1](self._placed(projected, keep_t, keep_f))
        return pool(last.summary(x) if "avg" in kinds else last.first(x, 2), kinds)

    def finish(self, tokens: Tensor, block: int) -> Tensor:
        """Run the blocks after a block, the last of them for both summary tokens only.

        Args:
            tokens: Tokens from `encode` with this block.
            block: Index of the block, from zero; -1 for tokens that no block has processed.

        Returns:
            Class token and distillation token, normalised, shape (batch, 2, width).
        """
        left = self.blocks[block + 1 :]
        if left:
            tokens = cast(_Block, left[-1]).first(left[:-1](tokens), 2)
        summary: Tensor = self.norm(tokens[:, :2])
        return summary

    def _blocks(self, block: int | None) -> nn.Sequential:
        """The blocks up to and including `block`; all for None."""
        depth = self.config.depth
        if block is not None and not 0 <= block < depth:
            raise ModelError(f"MAEST: block={block} must be from 0 to {depth - 1}")
        return self.blocks[: depth if block is None else block + 1]

    def _placed(self, projected: Tensor, keep_t: Tensor, keep_f: Tensor) -> Tensor:
        """Summary tokens and patches, with positions, (batch, 2 + kept_f * kept_t, width)."""
        given = (keep_f.shape[0], keep_t.shape[0])
        if projected.shape[1] != given[0] or projected.shape[2] != given[1]:
            raise ModelError(
                f"MAEST: indices for {given} rows and columns, patches {tuple(projected.shape)}"
            )
        time = self.time_new_pos_embed.index_select(3, keep_t)
        freq = self.freq_new_pos_embed.index_select(2, keep_f)
        x = (projected + (time + freq).permute(0, 2, 3, 1)).flatten(1, 2)
        if self.training and self.patchout.u_patchout:
            x = x[:, _draw(x.shape[1], self.patchout.u_patchout, x.device)]
        summary = torch.cat((self.cls_token, self.dist_token), 1) + self.new_pos_embed
        return torch.cat((summary.expand(x.shape[0], -1, -1), x), 1)

    def _check(self, mel: Tensor) -> None:
        n_mels = self.config.n_mels
        if mel.ndim != 3 or mel.shape[2] != n_mels:
            raise ModelError(
                f"MAEST: mel of shape {tuple(mel.shape)} must be (batch, frames, {n_mels})"
            )

    def _summary(
        self, mel: Tensor, keep_t: Tensor | None, keep_f: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Class and distillation token after the last block, normalised, each (batch, width)."""
        columns, rows, positions = self._choose(mel, keep_t, keep_f)
        x = self.finish(self._placed(self.project(mel, columns, rows), positions, rows), -1)
        return x[:, 0], x[:, 1]

    def _choose(
        self, mel: Tensor, keep_t: Tensor | None, keep_f: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Columns and rows to look at, and the positions that the columns get."""
        self._check(mel)
        n_columns, grid = patches(mel.shape[1]), self.config.time_grid
        if not 0 < n_columns <= grid:
            longest = grid * STRIDE + PATCH_SIZE - 1
            raise ModelError(f"MAEST: {mel.shape[1]} frames; it takes {PATCH_SIZE} to {longest}")
        patchout, offset = NO_PATCHOUT, None
        if self.training:
            patchout = self.patchout
            # A short segment may be anywhere in the grid, or the grid's end would never be trained.
            offset = torch.randint(grid - n_columns + 1, (1,)).to(mel.device)
        if keep_t is None:
            keep_t = _draw(n_columns, patchout.s_patchout_t, mel.device)
        if keep_f is None:
            keep_f = _draw(self.config.freq_grid, patchout.s_patchout_f, mel.device)
        return keep_t, keep_f, keep_t if offset is None else keep_t + offset


def pool(tokens: Tensor, kinds: Sequence[Kind] = KINDS) -> Tensor:
    """Pool tokens to embeddings.

    Args:
        tokens: Tokens from `Maest.tokens` or `Maest.encode`, shape (batch, n, width).
        kinds: Vectors to concatenate, in order: the class token, the distillation token, the mean
            of all others.

    Returns:
        Shape (batch, len(kinds) * width).

    Raises:
        ModelError: `kinds` is empty, or a kind is unknown.
    """
    if not kinds or not set(kinds) <= set(KINDS):
        raise ModelError(f"MAEST: kinds={tuple(kinds)} must be one or more of {', '.join(KINDS)}")
    parts = {"cls": tokens[:, :1], "dist": tokens[:, 1:2], "avg": tokens[:, 2:]}
    return torch.cat([parts[kind].mean(1) for kind in kinds], 1)


class _PatchEmbedding(nn.Module):
    """The convolution that projects patches, computed only for those that are kept."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, width, PATCH_SIZE, STRIDE)

    def forward(self, mel: Tensor, keep_t: Tensor, keep_f: Tensor) -> Tensor:
        inside = torch.arange(PATCH_SIZE, device=mel.device)
        frames = (keep_t[:, None] * STRIDE + inside).flatten()
        bands = (keep_f[:, None] * STRIDE + inside).flatten()
        x = mel.index_select(1, frames).index_select(2, bands)
        x = x.unflatten(2, (-1, PATCH_SIZE)).unflatten(1, (-1, PATCH_SIZE))
        # (batch, kept_t, 16 frames, kept_f, 16 bands); the kernel is
        # (width, 1, 16 bands, 16 frames).
        x = x.permute(0, 3, 1, 4, 2).flatten(3)
        return functional.linear(x, self.proj.weight.flatten(1), self.proj.bias)


class _Block(nn.Module):
    """Attention, then a perceptron on each token.

    Both take the normalised residual stream and add to the stream before normalisation.
    """

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = _Attention(width, n_heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        layers = {
            "fc1": nn.Linear(width, 4 * width),
            "act": nn.GELU(),
            "fc2": nn.Linear(4 * width, width),
        }
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))

    def first(self, x: Tensor, n: int) -> Tensor:
        """The first `n` tokens of `forward`, (batch, n, width).

        The others serve as keys and values only.
        """
        x = x[:, :n] + self.attn(self.norm1(x), n)
        return x + self.mlp(self.norm2(x))

    def summary(self, x: Tensor) -> Tensor:
        """The first two tokens of `forward` and the mean of the others, (batch, 3, width).

        The mean is taken before the last layer, which is affine; that saves a third of the block.
        """
        x = x + self.attn(self.norm1(x))
        hidden = self.mlp.act(self.mlp.fc1(self.norm2(x)))
        return _first_two_and_mean(x) + self.mlp.fc2(_first_two_and_mean(hidden))


def _first_two_and_mean(tokens: Tensor) -> Tensor:
    rest = tokens[:, 2:]
    # As a product: ONNX Runtime's mean over an axis in the middle takes ten times as long. Divided
    # before it is summed: sums over all patches may exceed the range of float16.
    mean = (rest.new_full((1, rest.shape[1]), 1.0) / rest.shape[1]) @ rest
    return torch.cat((tokens[:, :2], mean), 1)


class _Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, n: int | None = None) -> Tensor:
        """Attention of the first `n` tokens to all tokens, (batch, n, width); None for all."""
        query, key, value = self.qkv(x).chunk(3, dim=2)
        heads = (  # (batch, heads, tokens, width / heads) each
            each.unflatten(2, (self.n_heads, -1)).transpose(1, 2)
            for each in (query[:, :n], key, value)
        )
        x = functional.scaled_dot_product_attention(*heads).transpose(1, 2)
        projected: Tensor = self.proj(x.flatten(2))
        return projected


def _draw(n: int, dropped: int, device: torch.device) -> Tensor:
    """`n - dropped` indices below `n`, ascending, drawn from torch's global generator."""
    if not dropped:
        return torch.arange(n, device=device)
    if not 0 < dropped < n:
        raise ModelError(
            f"MAEST: patchout={dropped} must be from 0 to {n - 1}, for there are {n} to drop from"
        )
    return torch.randperm(n)[: n - dropped].sort().values.to(device)
