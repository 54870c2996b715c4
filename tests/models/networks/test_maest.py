"""MAEST: the published sizes and numbers, what patchout keeps, and what training draws."""

import sys
import types
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from auricle.errors import ModelError

torch = pytest.importorskip("torch", reason="the networks are in torch")
maest = pytest.importorskip("auricle.models.networks.maest")
MaestConfig, Maest, RandomPatchout = maest.MaestConfig, maest.Maest, maest.RandomPatchout

# Float32 sums of up to 3072 products in another order, through up to 12 blocks; values are about 1.
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}

TINY = MaestConfig(312, n_classes=7, width=48, depth=3, n_heads=3)
KEEP_EVERY = (2, 3, 5, 10)
DROPPED_ROWS = {0: (), 3: (0, 7, 8), 4: (0, 1, 7, 8)}
"""Rows that the thesis leaves out (section 6.3.8): the first and the last two, or two at either
end.
"""


def randomise(model: Any, seed: int = 0) -> Any:
    """Weights under which everything matters: no zeros, no ones, a signal that grows by block."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.empty_like(parameter).normal_(generator=generator)
            scale = 0.2 if parameter.ndim < 2 or "embed" in name or "token" in name else 1
            if parameter.ndim == 2:
                scale = 0.7 / parameter.shape[1] ** 0.5
            is_norm = "norm" in name or name.startswith("head.0")
            parameter.copy_(scale * noise + (1 if is_norm and name.endswith("weight") else 0))
    return model.eval()


def mel_of(frames: int, batch: int = 1, seed: int = 1, n_mels: int = 96) -> Any:
    return torch.randn(batch, frames, n_mels, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def tiny() -> Any:
    return randomise(Maest(TINY))


@pytest.fixture
def sequences(tiny: Any) -> Iterator[list[Any]]:
    """What the first block of `tiny` was given, call by call."""
    seen: list[Any] = []
    hook = tiny.blocks[0].register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0].detach())
    )
    yield seen
    hook.remove()
    tiny.eval()
    tiny.patchout = maest.NO_PATCHOUT


def every(k: int, n: int) -> Any:
    return torch.arange(0, n, k)


def rows_without(dropped: int) -> Any:
    return torch.tensor([row for row in range(9) if row not in DROPPED_ROWS[dropped]])


class TestSizes:
    @pytest.mark.parametrize(
        ("name", "parameters"),
        [
            ("5s", 85_903_904),
            ("10s", 85_927_712),
            ("20s", 85_976_096),
            ("30s", 86_023_712),
            ("30s-519l", 86_206_734),
        ],
    )
    def test_parameters_are_as_many_as_in_the_published_networks(
        self, name: str, parameters: int
    ) -> None:
        with torch.device("meta"):
            model = Maest(maest.CONFIGS[name])
        assert sum(parameter.numel() for parameter in model.parameters()) == parameters

    def test_names_and_shapes_are_those_of_the_checkpoints(self) -> None:
        expected = {
            "cls_token": (1, 1, 768),
            "dist_token": (1, 1, 768),
            "new_pos_embed": (1, 2, 768),
            "freq_new_pos_embed": (1, 768, 9, 1),
            "time_new_pos_embed": (1, 768, 1, 187),
            "patch_embed.proj.weight": (768, 1, 16, 16),
            "patch_embed.proj.bias": (768,),
            "norm.weight": (768,),
            "norm.bias": (768,),
            "head.0.weight": (768,),
            "head.0.bias": (768,),
            "head.1.weight": (519, 768),
            "head.1.bias": (519,),
            "head_dist.weight": (519, 768),
            "head_dist.bias": (519,),
        }
        layers = {
            "attn.qkv": (2304, 768),
            "attn.proj": (768, 768),
            "mlp.fc1": (3072, 768),
            "mlp.fc2": (768, 3072),
        }
        for block in range(12):
            for layer, shape in layers.items():
                expected[f"blocks.{block}.{layer}.weight"] = shape
                expected[f"blocks.{block}.{layer}.bias"] = shape[:1]
            for norm, kind in product(("norm1", "norm2"), ("weight", "bias")):
                expected[f"blocks.{block}.{norm}.{kind}"] = (768,)
        with torch.device("meta"):
            model = Maest(maest.CONFIGS["30s-519l"])
        assert len(expected) == 159
        assert {name: tuple(value.shape) for name, value in model.state_dict().items()} == expected

    def test_only_the_heads_norm_has_torchs_epsilon(self, tiny: Any) -> None:
        epsilons = {
            name: m.eps for name, m in tiny.named_modules() if isinstance(m, torch.nn.LayerNorm)
        }
        assert epsilons.pop("head.0") == 1e-5
        assert set(epsilons.values()) == {1e-6}
        assert len(epsilons) == 2 * TINY.depth + 1

    @pytest.mark.parametrize(
        ("name", "frames", "columns"),
        [
            ("5s", 312, 30),
            ("5s", 316, 31),
            ("10s", 625, 61),
            ("10s", 626, 62),
            ("20s", 1250, 124),
            ("20s", 1256, 125),
            ("30s", 1875, 186),
            ("30s", 1876, 187),
        ],
    )
    def test_tokens(self, name: str, frames: int, columns: int) -> None:
        config = MaestConfig(maest.CONFIGS[name].frames, width=4, depth=1, n_heads=1)
        tokens = Maest(config).eval().tokens(mel_of(frames, batch=2), 0)
        assert tokens.shape == (2, 9 * columns + 2, 4)

    def test_small_has_the_published_depth_and_a_sixteenth_of_the_weights(self) -> None:
        config = MaestConfig.small(625)
        assert (config.width, config.depth, config.n_heads, config.time_grid) == (192, 12, 3, 62)
        with torch.device("meta"):
            ratio = [
                sum(p.numel() for p in Maest(c).parameters())
                for c in (maest.CONFIGS["10s"], config)
            ]
        assert 15 < ratio[0] / ratio[1] < 16

    @pytest.mark.parametrize(
        ("sizes", "words"),
        [
            ({"frames": 15}, "frames=15 must be at least 16"),
            ({"frames": 312, "n_mels": 8}, "n_mels=8 must be at least 16"),
            ({"frames": 312, "depth": 0}, "depth=0 must be at least 1"),
            ({"frames": 312, "width": 100}, "width=100 must be a multiple of n_heads=12"),
        ],
    )
    def test_sizes_that_make_no_network_are_refused(
        self, sizes: dict[str, int], words: str
    ) -> None:
        with pytest.raises(ModelError, match=words):
            MaestConfig(**sizes)


class TestForward:
    def test_shapes(self, tiny: Any) -> None:
        logits, features = tiny(mel_of(312, batch=2))
        assert logits.shape == (2, 7)
        assert features.shape == (2, 48)
        assert tiny.embed(mel_of(312, batch=2), 1).shape == (2, 144)

    def test_it_equals_the_plain_steps(self, tiny: Any) -> None:
        """Convolution, positions, tokens, blocks, norm and heads, one after another."""
        mel = mel_of(316, batch=2)
        with torch.no_grad():
            x = tiny.patch_embed.proj(mel.transpose(1, 2)[:, None])  # (2, width, 9, 31)
            x = x + tiny.time_new_pos_embed + tiny.freq_new_pos_embed
            tokens = [
                tiny.cls_token + tiny.new_pos_embed[:, :1],
                tiny.dist_token + tiny.new_pos_embed[:, 1:],
            ]
            x = torch.cat([*(t.expand(2, 1, -1) for t in tokens), x.flatten(2).transpose(1, 2)], 1)
            for block in tiny.blocks:
                x = x + attention(block.attn, block.norm1(x))
                x = x + block.mlp.fc2(torch.nn.functional.gelu(block.mlp.fc1(block.norm2(x))))
            cls, dist = tiny.norm(x)[:, 0], tiny.norm(x)[:, 1]
            logits, features = tiny(mel)
            separated = tiny.separated(mel)
        torch.testing.assert_close(tiny.tokens(mel, None).detach(), x, **TOLERANCE)
        torch.testing.assert_close(features, (cls + dist) / 2, **TOLERANCE)
        torch.testing.assert_close(logits, tiny.head((cls + dist) / 2).detach(), **TOLERANCE)
        torch.testing.assert_close(separated[0], tiny.head(cls).detach(), **TOLERANCE)
        torch.testing.assert_close(separated[1], tiny.head_dist(dist).detach(), **TOLERANCE)
        assert torch.equal(separated[2], features)

    def test_patch_of_row_f_and_column_t_is_token_two_plus_f_columns_plus_t(
        self, tiny: Any, sequences: list[Any]
    ) -> None:
        for row, column in ((0, 0), (0, 29), (3, 17), (8, 0), (8, 29)):
            mel = torch.zeros(1, 312, 96)
            tiny.tokens(mel, 0)
            # The seventh frame and band of a patch is in no other: the next begins with the tenth.
            mel[0, 10 * column + 7, 10 * row + 7] = 1
            tiny.tokens(mel, 0)
            changed = (sequences[-1] != sequences[-2]).any(2)[0].nonzero().flatten().tolist()
            assert changed == [2 + 30 * row + column]

    def test_last_frames_that_fill_no_patch_do_not_count(self, tiny: Any) -> None:
        mel = mel_of(315)
        assert torch.equal(tiny(mel)[0], tiny(mel[:, :306])[0])

    def test_segments_of_a_batch_do_not_touch(self, tiny: Any) -> None:
        mel = mel_of(312, batch=3)
        together = tiny.embed(mel, 2)
        torch.testing.assert_close(together[1:2], tiny.embed(mel[1:2], 2), **TOLERANCE)

    def test_evaluation_is_deterministic_and_knows_no_random_patchout(self, tiny: Any) -> None:
        mel = mel_of(200)
        other = Maest(TINY, RandomPatchout(5, 3, 20))
        other.load_state_dict(tiny.state_dict())
        first, second, third = tiny(mel)[0], tiny(mel)[0], other.eval()(mel)[0]
        assert torch.equal(first, second)
        assert torch.equal(first, third)

    def test_a_later_block_is_not_computed(self, tiny: Any) -> None:
        hook = tiny.blocks[2].register_forward_pre_hook(lambda *_: pytest.fail("block 2 was run"))
        tiny.embed(mel_of(312), 1)
        hook.remove()

    @pytest.mark.parametrize(
        ("run", "first", "last"),
        [
            (lambda model, mel: model(mel), 272, 2),
            (lambda model, mel: model.embed(mel, 2, ("cls", "dist")), 272, 2),
            (lambda model, mel: model.embed(mel, 2, ("cls", "avg")), 272, 272),
        ],
        ids=["classes", "both tokens", "mean"],
    )
    def test_the_last_block_computes_what_is_asked_for(
        self, tiny: Any, run: Any, first: int, last: int
    ) -> None:
        tokens: list[int] = []
        blocks = (tiny.blocks[0], tiny.blocks[2])
        hooks = [
            block.mlp.fc1.register_forward_pre_hook(
                lambda _, inputs: tokens.append(inputs[0].shape[1])
            )
            for block in blocks
        ]
        run(tiny, mel_of(312))
        for hook in hooks:
            hook.remove()
        assert tokens == [first, last]

    def test_the_mean_of_many_tokens_fits_into_half_precision(self) -> None:
        """Their sum, 168 thousand, would not: it ends at 65504."""
        found = maest._first_two_and_mean(torch.full((1, 2 + 1683, 4), 100.0).half())
        assert found.shape == (1, 3, 4)
        # Half precision has eleven bits, and rounds the weights of the mean.
        torch.testing.assert_close(found.float(), torch.full((1, 3, 4), 100.0), rtol=1e-3, atol=0)

    def test_kinds_are_joined_in_the_order_asked_for(self, tiny: Any) -> None:
        mel = mel_of(312)
        tokens = tiny.tokens(mel, 1)
        parts = {"cls": tokens[:, 0], "dist": tokens[:, 1], "avg": tokens[:, 2:].mean(1)}
        for kinds in (("cls", "dist", "avg"), ("avg", "cls"), ("dist", "cls"), ("cls",)):
            # The mean is taken before the last layer and not behind it; without it no patch asks
            # any more.
            expected = torch.cat([parts[kind] for kind in kinds], 1)
            torch.testing.assert_close(tiny.embed(mel, 1, kinds), expected, **TOLERANCE)


def attention(layer: Any, x: Any) -> Any:
    """Softmax attention, head by head."""
    size = x.shape[2] // layer.n_heads
    query, key, value = layer.qkv(x).chunk(3, 2)
    heads = []
    for i in range(layer.n_heads):
        part = slice(i * size, (i + 1) * size)
        scores = query[..., part] @ key[..., part].transpose(1, 2) / size**0.5
        heads.append(scores.softmax(2) @ value[..., part])
    return layer.proj(torch.cat(heads, 2))


class TestInferencePatchout:
    def test_keeping_everything_changes_nothing(self, tiny: Any) -> None:
        mel = mel_of(312)
        assert torch.equal(tiny(mel)[0], tiny(mel, torch.arange(30), torch.arange(9))[0])

    @pytest.mark.parametrize("dropped", DROPPED_ROWS)
    @pytest.mark.parametrize("k", KEEP_EVERY)
    def test_it_equals_taking_the_tokens_out_by_hand(
        self, tiny: Any, sequences: list[Any], k: int, dropped: int
    ) -> None:
        mel, keep_t, keep_f = mel_of(312, batch=2), every(k, 30), rows_without(dropped)
        tokens = tiny.tokens(mel, None, keep_t, keep_f)
        tiny.tokens(mel, 0)
        x = sequences[1][
            :, [0, 1, *(2 + 30 * f + t for f in keep_f.tolist() for t in keep_t.tolist())]
        ]
        assert x.shape[1] == 2 + len(keep_f) * len(keep_t)
        for block in tiny.blocks:
            x = block(x)
        torch.testing.assert_close(tokens, x, **TOLERANCE)

    def test_only_what_is_kept_is_looked_at(self, tiny: Any) -> None:
        mel, keep_t, keep_f = mel_of(312), every(10, 30), rows_without(3)
        damaged = torch.full_like(mel, torch.nan)
        for t, f in product(keep_t.tolist(), keep_f.tolist()):
            window = (0, slice(10 * t, 10 * t + 16), slice(10 * f, 10 * f + 16))
            damaged[window] = mel[window]
        assert torch.equal(tiny(mel, keep_t, keep_f)[0], tiny(damaged, keep_t, keep_f)[0])

    def test_projection_is_a_convolution_at_the_kept_places(self, tiny: Any) -> None:
        mel, keep_t, keep_f = mel_of(312, batch=2), every(3, 30), rows_without(4)
        expected = tiny.patch_embed.proj(mel.transpose(1, 2)[:, None]).permute(0, 2, 3, 1)
        projected = tiny.project(mel, keep_t, keep_f)
        assert projected.shape == (2, 5, 10, 48)
        torch.testing.assert_close(projected, expected[:, keep_f][:, :, keep_t], **TOLERANCE)

    def test_columns_can_be_projected_ahead_and_reused(self, tiny: Any) -> None:
        """As a live stream does: the second segment begins 20 columns after the first."""
        mel, keep_f = mel_of(512), rows_without(3)
        ahead = tiny.project(mel, every(2, 50), keep_f)
        for start in (0, 20):
            segment = mel[:, 10 * start : 10 * start + 312]
            columns = ahead[:, :, start // 2 : start // 2 + 15]
            tokens = tiny.encode(columns, every(2, 30), keep_f, 1)
            torch.testing.assert_close(
                tokens, tiny.tokens(segment, 1, every(2, 30), keep_f), **TOLERANCE
            )

    def test_positions_belong_to_the_columns_kept(self, tiny: Any) -> None:
        """The same patches at other places are another input."""
        mel = mel_of(512)
        columns = tiny.project(mel, torch.arange(10), torch.arange(9))
        here = tiny.encode(columns, torch.arange(10), torch.arange(9))
        there = tiny.encode(columns, torch.arange(5, 15), torch.arange(9))
        assert (here - there).abs().max() > 0.01


class TestTraining:
    @pytest.mark.parametrize(
        "patchout",
        [RandomPatchout(), RandomPatchout(15), RandomPatchout(0, 3), RandomPatchout(15, 3, 11)],
    )
    def test_sequence_length(self, tiny: Any, sequences: list[Any], patchout: Any) -> None:
        tiny.patchout = patchout
        tiny.train()(mel_of(312, batch=2))
        length = (
            (30 - patchout.s_patchout_t) * (9 - patchout.s_patchout_f) - patchout.u_patchout + 2
        )
        assert sequences[0].shape == (2, length, 48)

    def test_sequence_length_of_the_paper(self) -> None:
        config = MaestConfig(1875, width=4, depth=1, n_heads=1)
        assert Maest(config, RandomPatchout(90, 3)).tokens(mel_of(1875), 0).shape == (1, 578, 4)

    def test_tokens_left_are_a_rising_choice_of_whole_columns_and_rows(
        self, tiny: Any, sequences: list[Any]
    ) -> None:
        mel = mel_of(316).expand(2, -1, -1)  # as long as the grid, so positions do not move
        tiny.tokens(mel, 0)
        everything = sequences[0][0].tolist()
        tiny.patchout = RandomPatchout(20, 4)
        tiny.train()
        grids = set()
        for _ in range(5):
            tiny.tokens(mel, 0)
            assert torch.equal(sequences[-1][0], sequences[-1][1])  # one draw for the batch
            left = [nearest(token, everything) for token in sequences[-1][0].tolist()]
            rows, columns = [(i - 2) // 31 for i in left[2::11]], [(i - 2) % 31 for i in left[2:13]]
            assert left == [0, 1, *(2 + 31 * f + t for f in rows for t in columns)]
            assert rows == sorted(set(rows))
            assert columns == sorted(set(columns))
            grids.add((tuple(rows), tuple(columns)))
        assert len(grids) == 5

    def test_positions_start_anywhere_in_the_grid(self) -> None:
        model = Maest(MaestConfig(312, width=4, depth=1, n_heads=1)).train()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
            model.time_new_pos_embed[0, 0, 0] = torch.arange(31)
        mel = mel_of(266)  # 26 columns in a grid of 31

        def offset(seed: int) -> float:
            torch.manual_seed(seed)
            first, last = model.tokens(mel, 0)[0, [2, 27], 0].tolist()
            assert last - first == 25
            return float(first)

        offsets = [offset(seed) for seed in range(60)]
        assert set(offsets) == set(range(6))
        assert offsets[7] == offset(7)
        assert model.eval().tokens(mel, 0)[0, 2, 0] == 0

    def test_columns_given_are_taken_in_training_too(self, tiny: Any, sequences: list[Any]) -> None:
        tiny.patchout = RandomPatchout(20, 4)
        tiny.train().tokens(mel_of(312), 0, every(2, 30), torch.arange(9))
        assert sequences[0].shape[1] == 15 * 9 + 2

    @pytest.mark.parametrize(
        ("patchout", "words"),
        [
            (RandomPatchout(30), "patchout=30 must be from 0 to 29"),
            (RandomPatchout(0, 9), "patchout=9 must be from 0 to 8"),
            (RandomPatchout(29, 8, 1), "patchout=1 must be from 0 to 0"),
            (RandomPatchout(-1), "patchout=-1 must be from 0 to 29"),
        ],
    )
    def test_patchout_that_leaves_nothing_is_refused(self, patchout: Any, words: str) -> None:
        model = Maest(MaestConfig(312, width=4, depth=1, n_heads=1), patchout)
        with pytest.raises(ModelError, match=words):
            model(mel_of(312))

    def test_a_batch_is_learnt_and_every_parameter_of_it_moves(self) -> None:
        torch.manual_seed(0)
        model = Maest(
            MaestConfig(106, n_classes=5, width=24, depth=2, n_heads=2), RandomPatchout(2, 2)
        ).train()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        mel, labels = mel_of(106, batch=8), torch.eye(5)[torch.arange(8) % 5]
        optimizer = torch.optim.Adam(model.parameters(), 3e-3)
        losses = []
        for _ in range(40):
            cls, dist, _ = model.separated(mel)
            loss = sum(
                torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)
                for logits in (cls, dist)
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < 0.6 * losses[0]
        assert [
            name for name, value in model.state_dict().items() if torch.equal(value, before[name])
        ] == []


def nearest(token: list[float], among: list[list[float]]) -> int:
    """Which of the tokens it is: equal but for the rounding of a sum in another order."""
    distances = [max(abs(a - b) for a, b in zip(token, other, strict=True)) for other in among]
    best = min(distances)
    assert best < 1e-5
    return distances.index(best)


class TestErrors:
    def test_more_columns_than_positions(self, tiny: Any) -> None:
        assert tiny(mel_of(325))[0].shape == (1, 7)
        with pytest.raises(ModelError, match="326 frames; it takes 16 to 325"):
            tiny(mel_of(326))

    def test_no_column_at_all(self, tiny: Any) -> None:
        with pytest.raises(ModelError, match="15 frames; it takes 16 to 325"):
            tiny(mel_of(15))

    @pytest.mark.parametrize("shape", [(1, 96, 312), (312, 96), (1, 1, 312, 96)])
    def test_mel_of_another_layout(self, tiny: Any, shape: tuple[int, ...]) -> None:
        with pytest.raises(ModelError, match=r"must be \(batch, frames, 96\)"):
            tiny(torch.zeros(shape))

    @pytest.mark.parametrize("block", [-1, 3])
    def test_no_such_block(self, tiny: Any, block: int) -> None:
        with pytest.raises(ModelError, match=f"block={block} must be from 0 to 2"):
            tiny.embed(mel_of(312), block)

    @pytest.mark.parametrize("kinds", [(), ("cls", "mean")])
    def test_no_such_kind(self, tiny: Any, kinds: tuple[str, ...]) -> None:
        with pytest.raises(ModelError, match="must be one or more of cls, dist, avg"):
            tiny.embed(mel_of(312), 1, kinds)

    def test_positions_for_other_columns_are_not_spread_over_them(self, tiny: Any) -> None:
        projected = tiny.project(mel_of(312), torch.arange(30), torch.arange(9))
        with pytest.raises(ModelError, match=r"indices for \(9, 1\) rows and columns"):
            tiny.encode(projected, torch.arange(1), torch.arange(9))

    def test_a_column_outside_the_segment(self, tiny: Any) -> None:
        with pytest.raises((IndexError, RuntimeError), match=r"out of .*bounds"):
            tiny(mel_of(312), torch.tensor([40]))


@pytest.fixture(scope="module")
def published() -> tuple[Any, Any]:
    """MAEST-5s, ours and the authors', with the same weights."""
    ours = randomise(Maest(maest.CONFIGS["5s"]))
    return ours, reference_of(ours)


class TestAgainstTheAuthors:
    """The authors' own inference package, with the same weights and mel spectrograms."""

    @pytest.mark.parametrize("frames", [312, 316])
    def test_logits_and_features(self, published: tuple[Any, Any], frames: int) -> None:
        ours, theirs = published
        mel = mel_of(frames)
        with torch.no_grad():
            assert_same(ours(mel), theirs(layout(mel)))

    def test_the_embedding_of_every_block(self, published: tuple[Any, Any]) -> None:
        ours, theirs = published
        mel = mel_of(312)
        for block in range(12):
            with torch.no_grad():
                expected = theirs(layout(mel), transformer_block=block)[1]
                embedding = ours.embed(mel, block)
            assert embedding.shape == (1, 2304)
            assert_same(embedding, expected)

    @pytest.mark.parametrize("dropped", DROPPED_ROWS)
    @pytest.mark.parametrize("k", KEEP_EVERY)
    def test_inference_patchout(self, published: tuple[Any, Any], k: int, dropped: int) -> None:
        ours, theirs = published
        mel = mel_of(312)
        theirs.s_patchout_t_interleaved, theirs.s_patchout_f_indices = k, DROPPED_ROWS[dropped]
        try:
            with torch.no_grad():
                assert_same(ours(mel, every(k, 30), rows_without(dropped)), theirs(layout(mel)))
                expected = theirs(layout(mel), transformer_block=6)[1]
                assert_same(
                    ours.embed(mel, 6, maest.KINDS, every(k, 30), rows_without(dropped)), expected
                )
        finally:
            theirs.s_patchout_t_interleaved, theirs.s_patchout_f_indices = 0, ()

    @pytest.mark.parametrize("name", ["10s", "20s", "30s", "30s-519l"])
    def test_longer_segments(self, name: str) -> None:
        """Three blocks deep: the rest of such a network is that of 5 s, and slow."""
        published = maest.CONFIGS[name]
        config = MaestConfig(published.frames, published.n_classes, depth=3)
        ours = randomise(Maest(config))
        mel = mel_of(config.frames)
        with torch.no_grad():
            assert_same(ours(mel), reference_of(ours)(layout(mel)))

    def test_two_heads(self) -> None:
        ours = randomise(Maest(TINY))
        theirs = reference_of(ours)
        theirs.distilled_type = "separated"
        mel = mel_of(312, batch=2)
        with torch.no_grad():
            assert_same(ours.separated(mel), theirs(layout(mel)))

    def test_training_draws_the_same_from_the_same_seed(self) -> None:
        ours = randomise(Maest(TINY, RandomPatchout(10, 3, 7))).train()
        theirs = reference_of(ours).train()
        theirs.s_patchout_t, theirs.s_patchout_f, theirs.u_patchout = 10, 3, 7
        mel = mel_of(250, batch=2)
        for seed in range(4):
            torch.manual_seed(seed)
            logits = ours(mel)[0]
            torch.manual_seed(seed)
            assert_same(logits, theirs(layout(mel))[0])


def layout(mel: Any) -> Any:
    """(batch, frames, bands) as the authors have it, (batch, 1, bands, frames)."""
    return mel.transpose(1, 2)[:, None].contiguous()


def assert_same(ours: Any, theirs: Any) -> None:
    torch.testing.assert_close(ours, theirs, **TOLERANCE)


def reference_of(ours: Any) -> Any:
    """The authors' network with our weights."""
    with pytest.MonkeyPatch.context() as patch:
        # It imports torchaudio for its own front end, which is not used here.
        stub, transforms = types.ModuleType("torchaudio"), types.ModuleType("torchaudio.transforms")
        transforms.Spectrogram = transforms.MelScale = torch.nn.Identity  # type: ignore[attr-defined]
        stub.transforms = transforms  # type: ignore[attr-defined]
        patch.setitem(sys.modules, "torchaudio", stub)
        patch.setitem(sys.modules, "torchaudio.transforms", transforms)
        reason = "compares with the authors' code: pip install --no-deps maest_infer"
        module = pytest.importorskip("maest_infer.maest", reason=reason)
    config = ours.config
    theirs = module.MAEST(
        img_size=(config.n_mels, config.frames),
        patch_size=16,
        stride=(10, 10),
        num_classes=config.n_classes,
        embed_dim=config.width,
        depth=config.depth,
        num_heads=config.n_heads,
        distilled=True,
    )
    theirs.load_state_dict(ours.state_dict())
    return theirs.eval()
