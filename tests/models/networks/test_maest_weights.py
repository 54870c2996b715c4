"""Files that become a MAEST: every published form, and an error for each way to be wrong.

The files are made here, small, in the forms of the published ones.
"""

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auricle.errors import ModelError

torch = pytest.importorskip("torch", reason="the networks are in torch")
maest = pytest.importorskip("auricle.models.networks.maest")
weights = pytest.importorskip("auricle.models.networks.maest_weights")
safetensors = pytest.importorskip("safetensors.torch")
load_maest, initialise = weights.load_maest, weights.initialise

CONFIG = maest.MaestConfig(312, n_classes=7, width=128, depth=3, n_heads=2)
State = dict[str, Any]


@pytest.fixture
def model() -> Any:
    torch.manual_seed(0)
    return maest.Maest(CONFIG).eval()


@pytest.fixture
def state(model: Any) -> State:
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(content: Any, name: str = "maest.ckpt") -> Path:
        path = tmp_path / name
        if path.suffix == ".safetensors":
            safetensors.save_file({key: value.contiguous() for key, value in content.items()}, path)
        else:
            torch.save(content, path)
        return path

    return write


def hugging_face(state: State) -> State:
    """Our arrays as Hugging Face's audio spectrogram transformer names and keeps them."""
    body = "audio_spectrogram_transformer"
    rules = {
        r"^patch_embed\.proj\.": f"{body}.embeddings.patch_embeddings.projection.",
        r"^blocks\.(\d+)\.": rf"{body}.encoder.layer.\1.",
        r"\.norm1\.": ".layernorm_before.",
        r"\.norm2\.": ".layernorm_after.",
        r"\.attn\.proj\.": ".attention.output.dense.",
        r"\.mlp\.fc1\.": ".intermediate.dense.",
        r"\.mlp\.fc2\.": ".output.dense.",
        r"^norm\.": f"{body}.layernorm.",
        r"^head\.0\.": "classifier.layernorm.",
        r"^head\.1\.": "classifier.dense.",
        r"^cls_token$": f"{body}.embeddings.cls_token",
        r"^dist_token$": f"{body}.embeddings.distillation_token",
    }
    theirs = {}
    for name, value in state.items():
        if name.startswith("head_dist") or "pos_embed" in name:
            continue
        new = name
        for pattern, replacement in rules.items():
            new = re.sub(pattern, replacement, new)
        if ".attn.qkv." in new:
            for part, array in zip(("query", "key", "value"), value.chunk(3), strict=True):
                theirs[new.replace("attn.qkv", f"attention.attention.{part}")] = array
        else:
            theirs[new] = value
    grid = state["freq_new_pos_embed"] + state["time_new_pos_embed"]
    positions = torch.cat((state["new_pos_embed"], grid.flatten(2).transpose(1, 2)), 1)
    theirs[f"{body}.embeddings.position_embeddings"] = positions
    return theirs


def assert_equal(loaded: Any, state: State) -> None:
    assert set(loaded.state_dict()) == set(state)
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, state[name]), name


class TestAuthorsCheckpoints:
    @pytest.mark.parametrize(
        "form",
        [
            lambda state: state,
            lambda state: {"state_dict": state, "epoch": 129},
            lambda state: {"state_dict": {f"net.{name}": value for name, value in state.items()}},
            lambda state: {
                "state_dict": {f"net.{name}": value + 1 for name, value in state.items()}
                | {f"net_swa.{name}": value for name, value in state.items()}
                | {"loss.weight": torch.ones(3)}
            },
            lambda state: state | {"melspectrogram.spec.window": torch.ones(512)},
            lambda state: {
                f"net.{name}": value
                for name, value in (
                    state | {"melspectrogram.mel_scale.fb": torch.ones(257, 96)}
                ).items()
            },
            lambda state: {name: value.double() for name, value in state.items()},
        ],
        ids=["bare", "state_dict", "lightning", "averaged", "front end", "both", "double"],
    )
    @pytest.mark.parametrize("name", ["maest.ckpt", "maest.safetensors"])
    def test_every_form(self, model: Any, state: State, write: Any, form: Any, name: str) -> None:
        content = form(state)
        if name.endswith(".safetensors"):
            content = content.get("state_dict", content)
        loaded = load_maest(write(content, name))
        assert_equal(loaded, state)
        assert loaded.config == CONFIG
        mel = torch.randn(1, 312, 96)
        assert torch.equal(loaded(mel)[0], model(mel)[0])

    def test_it_is_ready_for_use_and_for_training(self, state: State, write: Any) -> None:
        loaded = load_maest(write(state))
        assert not loaded.training
        assert all(
            value.requires_grad and value.dtype == torch.float32 for value in loaded.parameters()
        )

    @pytest.mark.parametrize("name", maest.CONFIGS)
    def test_sizes_are_read_from_the_arrays(self, write: Any, name: str) -> None:
        config = maest.CONFIGS[name]
        small = maest.MaestConfig(config.frames, config.n_classes, width=64, depth=1, n_heads=1)
        assert load_maest(write(maest.Maest(small).state_dict())).config == small

    def test_a_length_that_was_not_published(self, write: Any) -> None:
        config = maest.MaestConfig(480, width=64, depth=1, n_heads=1)
        assert load_maest(write(maest.Maest(config).state_dict())).config == config

    def test_number_of_heads_can_be_said(self, state: State, write: Any) -> None:
        assert load_maest(write(state), n_heads=8).config.n_heads == 8
        with pytest.raises(
            ModelError, match=r"maest\.ckpt: .*width=128 must be a multiple of n_heads=3"
        ):
            load_maest(write(state), n_heads=3)

    @pytest.mark.parametrize("width", [32, 96])
    def test_number_of_heads_is_not_guessed(self, write: Any, width: int) -> None:
        config = maest.MaestConfig(312, width=width, depth=1, n_heads=2)
        path = write(maest.Maest(config).state_dict())
        what = rf"maest\.ckpt: width={width} is not a multiple of 64"
        words = rf"{what}, so .* give n_heads, or --heads$"
        with pytest.raises(ModelError, match=words):
            load_maest(path)
        assert load_maest(path, n_heads=2).config == config
        with pytest.raises(ModelError, match=r"maest\.ckpt: .*n_heads=0 must be at least 1"):
            load_maest(path, n_heads=0)


class TestHuggingFace:
    @pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
    def test_it_computes_what_the_original_does(
        self, model: Any, state: State, write: Any, name: str
    ) -> None:
        loaded = load_maest(write(hugging_face(state), name))
        assert loaded.config == CONFIG
        mel = torch.randn(2, 312, 96)
        keep_t, keep_f = torch.arange(0, 30, 3), torch.arange(1, 7)
        # Positions are sums taken apart and put together again, so they are right to a rounding.
        tolerance = {"rtol": 1e-5, "atol": 1e-5}
        with torch.no_grad():
            torch.testing.assert_close(loaded(mel), model(mel), **tolerance)
            torch.testing.assert_close(
                loaded(mel, keep_t, keep_f), model(mel, keep_t, keep_f), **tolerance
            )

    def test_all_but_positions_and_second_head_is_the_same(self, state: State, write: Any) -> None:
        loaded = load_maest(write(hugging_face(state), "model.safetensors"))
        state["head_dist.weight"].zero_()
        state["head_dist.bias"].zero_()
        for name in ("freq_new_pos_embed", "time_new_pos_embed"):
            state[name] = loaded.state_dict()[name]
        assert_equal(loaded, state)

    def test_positions_are_taken_apart_with_rows_about_zero(self, state: State, write: Any) -> None:
        loaded = load_maest(write(hugging_face(state), "model.safetensors"))
        mean = state["freq_new_pos_embed"].mean(2, keepdim=True)
        # Values of 0.02 in float32, summed once: roundings of 1e-9.
        tolerance = {"rtol": 0, "atol": 1e-8}
        expected = state["freq_new_pos_embed"] - mean
        torch.testing.assert_close(loaded.freq_new_pos_embed.data, expected, **tolerance)
        expected = state["time_new_pos_embed"] + mean
        torch.testing.assert_close(loaded.time_new_pos_embed.data, expected, **tolerance)

    def test_half_precision(self, model: Any, state: State, write: Any) -> None:
        half = {name: value.half() for name, value in hugging_face(state).items()}
        loaded = load_maest(write(half, "model.safetensors"))
        mel = torch.randn(1, 312, 96)
        # Half floats have eleven bits.
        torch.testing.assert_close(loaded(mel)[0], model(mel)[0], rtol=0, atol=5e-3)

    def test_missing_and_extra_arrays_are_named_as_in_the_file(
        self, state: State, write: Any
    ) -> None:
        theirs = hugging_face(state)
        key = "audio_spectrogram_transformer.encoder.layer.1.attention.attention.key.weight"
        array = theirs.pop(key)
        with pytest.raises(ModelError, match=re.escape(f"model.safetensors: '{key}' is missing")):
            load_maest(write(theirs, "model.safetensors"))
        theirs |= {key: array[:5]}
        with pytest.raises(ModelError, match=r"key\.weight, .* differ in shape"):
            load_maest(write(theirs, "model.safetensors"))
        theirs |= {key: array, "classifier.extra": torch.ones(3)}
        with pytest.raises(ModelError, match=r"'classifier\.extra' is not part of a MAEST"):
            load_maest(write(theirs, "model.safetensors"))

    def test_positions_that_are_no_sum_or_no_grid(self, state: State, write: Any) -> None:
        theirs = hugging_face(state)
        key = "audio_spectrogram_transformer.embeddings.position_embeddings"
        positions = theirs[key]
        theirs[key] = positions + 0.01 * torch.randn(positions.shape)
        with pytest.raises(ModelError, match="is not a sum of one encoding a row and one a column"):
            load_maest(write(theirs, "model.safetensors"))
        theirs[key] = positions[:, :-1]
        with pytest.raises(ModelError, match=r"\(1, 280, 128\) is not for 9 rows of patches"):
            load_maest(write(theirs, "model.safetensors"))


def image_network(width: int = 128, side: int = 24, depth: int = 3, tokens: int = 2) -> State:
    """A DeiT: positions of the patches of a square image, three colours, a thousand classes."""
    config = maest.MaestConfig(312, n_classes=1000, width=width, depth=depth, n_heads=2)
    state: State = dict(maest.Maest(config).state_dict())
    for name in (
        "new_pos_embed",
        "freq_new_pos_embed",
        "time_new_pos_embed",
        "head.0.weight",
        "head.0.bias",
    ):
        del state[name]
    state["head.weight"], state["head.bias"] = state.pop("head.1.weight"), state.pop("head.1.bias")
    state["pos_embed"] = torch.randn(1, tokens + side * side, width)
    state["patch_embed.proj.weight"] = torch.randn(width, 3, 16, 16)
    if tokens == 1:
        del state["dist_token"], state["head_dist.weight"], state["head_dist.bias"]
    return state


class TestInitialWeights:
    def test_from_images(self, model: Any, state: State, write: Any) -> None:
        theirs = image_network()
        initialise(model, write({"model": theirs}, "deit.pth"))
        grid = theirs["pos_embed"][:, 2:].reshape(1, 24, 24, 128).permute(0, 3, 1, 2)
        grid = torch.nn.functional.interpolate(
            grid, size=(9, 31), mode="bicubic", align_corners=False
        )
        expected = {name: value for name, value in theirs.items() if not name.startswith("head")}
        del expected["pos_embed"]
        expected |= {name: value for name, value in state.items() if name.startswith("head")}
        expected |= {
            "new_pos_embed": theirs["pos_embed"][:, :2],
            "freq_new_pos_embed": grid.mean(3, keepdim=True),
            "time_new_pos_embed": grid.mean(2, keepdim=True),
            "patch_embed.proj.weight": theirs["patch_embed.proj.weight"].sum(1, keepdim=True),
        }
        assert_equal(model, expected)

    def test_grey_images_are_seen_as_before(self, model: Any, write: Any) -> None:
        theirs = image_network()
        initialise(model, write(theirs, "deit.pth"))
        patch = torch.randn(1, 1, 16, 16)
        weight, bias = theirs["patch_embed.proj.weight"], theirs["patch_embed.proj.bias"]
        expected = torch.nn.functional.conv2d(patch.expand(-1, 3, -1, -1), weight, bias)
        # 768 products in another order.
        torch.testing.assert_close(
            model.patch_embed.proj(patch).data, expected, rtol=1e-4, atol=1e-4
        )

    def test_from_audioset(self, model: Any, state: State, write: Any) -> None:
        """PaSST: 128 bands and 998 frames, so 12 rows and 99 columns."""
        config = maest.MaestConfig(998, n_classes=527, width=128, depth=3, n_heads=2, n_mels=128)
        theirs = dict(maest.Maest(config).state_dict())
        assert theirs["freq_new_pos_embed"].shape[2:] == (12, 1)
        assert theirs["time_new_pos_embed"].shape[2:] == (1, 99)
        initialise(model, write(theirs, "passt.pt"))
        expected = theirs | {
            name: value for name, value in state.items() if name.startswith("head")
        }
        for name, size in (("freq_new_pos_embed", (9, 1)), ("time_new_pos_embed", (1, 31))):
            expected[name] = torch.nn.functional.interpolate(
                theirs[name], size=size, mode="bicubic", align_corners=False
            )
        assert_equal(model, expected)

    def test_from_a_maest_of_the_same_length_nothing_is_interpolated(
        self, model: Any, state: State, write: Any
    ) -> None:
        theirs = dict(maest.Maest(CONFIG).state_dict())
        initialise(model, write(theirs))
        heads = {name: value for name, value in state.items() if name.startswith("head")}
        assert_equal(model, theirs | heads)

    def test_from_hugging_face(self, write: Any) -> None:
        torch.manual_seed(1)
        source = maest.Maest(CONFIG)
        longer = maest.Maest(maest.MaestConfig(625, n_classes=3, width=128, depth=3, n_heads=2))
        initialise(longer, write(hugging_face(source.state_dict()), "model.safetensors"))
        assert torch.equal(longer.blocks[2].attn.qkv.weight, source.blocks[2].attn.qkv.weight)
        assert longer.time_new_pos_embed.shape[3] == 62

    @pytest.mark.parametrize(
        ("name", "shape", "what"),
        [
            ("time_new_pos_embed", (1, 128, 99, 1), "row"),
            ("time_new_pos_embed", (1, 128, 1, 0), "row"),
            ("freq_new_pos_embed", (1, 128, 1, 12), "column"),
        ],
    )
    def test_positions_along_the_wrong_axis(
        self, model: Any, state: State, write: Any, name: str, shape: tuple[int, ...], what: str
    ) -> None:
        theirs = state | {name: torch.zeros(shape)}
        words = (
            f"passt.pt: '{name}' of shape {re.escape(str(shape))} is not one {what} of encodings$"
        )
        with pytest.raises(ModelError, match=words):
            initialise(model, write(theirs, "passt.pt"))

    @pytest.mark.parametrize("shape", [{"side": 0}, {"tokens": 1}, {"tokens": 3}])
    def test_image_networks_without_the_distillation_token(
        self, model: Any, write: Any, shape: dict[str, int]
    ) -> None:
        with pytest.raises(ModelError, match=r"deit\.pth: 'pos_embed' .*take a distilled DeiT"):
            initialise(model, write(image_network(**shape), "deit.pth"))

    def test_nothing_changes_when_something_is_wrong(
        self, model: Any, state: State, write: Any
    ) -> None:
        theirs = image_network(depth=4)
        with pytest.raises(
            ModelError, match=r"'blocks\.3\.attn\.proj\.bias' is not part of a MAEST \(and 11"
        ):
            initialise(model, write(theirs, "deit.pth"))
        with pytest.raises(
            ModelError, match=r"'cls_token' has shape \(1, 1, 64\), expected \(1, 1, 128\)"
        ):
            initialise(model, write(image_network(width=64), "deit.pth"))
        with pytest.raises(
            ModelError, match="not a MAEST: 'freq_new_pos_embed' is missing; it has 'conv1"
        ):
            initialise(model, write({"conv1.weight": torch.ones(3)}, "resnet.pth"))
        assert_equal(model, state)


class Outsider:
    """Something that only a bare unpickling would build."""


class TestErrors:
    def test_missing_arrays(self, state: State, write: Any) -> None:
        del state["blocks.1.norm2.bias"], state["norm.weight"]
        words = r"maest\.ckpt: 'blocks\.1\.norm2\.bias' is missing \(and 1 more\)$"
        with pytest.raises(ModelError, match=words):
            load_maest(write(state))

    def test_a_missing_block(self, state: State, write: Any) -> None:
        state = {name: value for name, value in state.items() if not name.startswith("blocks.1.")}
        with pytest.raises(
            ModelError, match=r"'blocks\.1\.attn\.proj\.bias' is missing \(and 11 more\)"
        ):
            load_maest(write(state))

    def test_extra_arrays(self, state: State, write: Any) -> None:
        state["blocks.0.attn.gate"] = torch.ones(1)
        with pytest.raises(ModelError, match=r"'blocks\.0\.attn\.gate' is not part of a MAEST$"):
            load_maest(write(state))

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("blocks.2.mlp.fc1.weight", r"has shape \(512, 127\), expected \(512, 128\)"),
            ("head_dist.weight", r"has shape \(7, 127\), expected \(7, 128\)"),
        ],
    )
    def test_other_shapes(self, state: State, write: Any, name: str, words: str) -> None:
        state[name] = state[name][:, :-1]
        with pytest.raises(ModelError, match=f"maest.ckpt: '{name}' {words}"):
            load_maest(write(state))

    @pytest.mark.parametrize(
        "name",
        ["freq_new_pos_embed", "time_new_pos_embed", "patch_embed.proj.weight", "head.1.weight"],
    )
    def test_arrays_that_tell_the_sizes(self, state: State, write: Any, name: str) -> None:
        state[name] = state[name].flatten()
        with pytest.raises(
            ModelError, match=rf"'{name}' of shape \(\d+,\) must have \d dimensions"
        ):
            load_maest(write(state))
        del state[name]
        with pytest.raises(
            ModelError, match=f"not a MAEST: '{name}' is missing; it has 'blocks.0.attn.pr"
        ):
            load_maest(write(state))

    @pytest.mark.parametrize("columns", [0, 1])
    def test_too_few_columns(self, state: State, write: Any, columns: int) -> None:
        state["time_new_pos_embed"] = state["time_new_pos_embed"][..., :columns]
        words = (
            rf"maest\.ckpt: 'time_new_pos_embed' is for {columns} columns of patches; it takes two$"
        )
        with pytest.raises(ModelError, match=words):
            load_maest(write(state))

    def test_other_networks(self, write: Any) -> None:
        with pytest.raises(
            ModelError, match=r"not a MAEST: 'freq_new_pos_embed' is missing; it has 'fc\.bias'"
        ):
            load_maest(write({"layer1.weight": torch.ones(3, 3), "fc.bias": torch.ones(3)}))
        with pytest.raises(
            ModelError, match=r"'pos_embed' is that of a network for images; .*initialise\(\)"
        ):
            load_maest(write(image_network()))
        passt = maest.MaestConfig(998, n_classes=527, width=128, depth=1, n_heads=2, n_mels=128)
        with pytest.raises(
            ModelError, match=r"is for 12 rows of patches, MAEST's for 9; .*initialise\(\)"
        ):
            load_maest(write(maest.Maest(passt).state_dict()))

    def test_objects_are_not_unpickled(self, state: State, write: Any, tmp_path: Path) -> None:
        what = "not loaded: it holds more than plain weights, or is not a checkpoint"
        words = rf"{what}; save its state_dict alone$"
        with pytest.raises(ModelError, match=words):
            load_maest(write({"state_dict": state, "hyper_parameters": Outsider()}))
        (tmp_path / "bare.pkl").write_bytes(pickle.dumps(Outsider(), protocol=2))  # as torch's own
        with pytest.raises(ModelError, match=words):
            load_maest(tmp_path / "bare.pkl")

    @pytest.mark.parametrize("name", ["maest.ckpt", "maest.safetensors"])
    @pytest.mark.parametrize("content", [b"", b"no checkpoint at all", b"PK\x03\x04", bytes(100)])
    def test_files_that_are_something_else(self, tmp_path: Path, name: str, content: bytes) -> None:
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ModelError, match=rf"^{re.escape(str(path))}: not ") as caught:
            load_maest(path)
        assert "\n" not in str(caught.value)

    def test_torch_is_not_quoted(self, state: State, write: Any, tmp_path: Path) -> None:
        text, half = tmp_path / "text.ckpt", write(state)
        text.write_text("episode\n")  # its first letters are commands of pickles
        half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
        for path in (text, half):
            words = "not weights that can be read; the file is damaged, or of another kind"
            with pytest.raises(ModelError, match=f"^{re.escape(str(path))}: {words}$"):
                load_maest(path)

    @pytest.mark.parametrize("name", ["maest.ckpt", "maest.safetensors"])
    def test_half_a_file(self, state: State, write: Any, name: str) -> None:
        path = write(state, name)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(ModelError, match=rf"^{re.escape(str(path))}: not ") as caught:
            load_maest(path)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("name", ["maest.ckpt", "maest.safetensors"])
    def test_no_file_or_a_folder(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(ModelError, match=f"{name}: cannot be read: .*[Nn]o such file"):
            load_maest(tmp_path / name)
        (tmp_path / name).mkdir()
        with pytest.raises(ModelError, match=f"{name}: "):
            load_maest(tmp_path / name)

    @pytest.mark.parametrize("content", [[torch.ones(2)], torch.ones(2), {0: torch.ones(2)}, 3])
    def test_no_named_arrays(self, write: Any, content: Any) -> None:
        with pytest.raises(ModelError, match=r"maest\.ckpt: holds no named arrays"):
            load_maest(write(content))

    def test_no_arrays_at_all(self, write: Any) -> None:
        with pytest.raises(ModelError, match="holds no arrays"):
            load_maest(write({"melspectrogram.spec.window": torch.ones(2)}))

    @pytest.mark.parametrize("name", ["maest.ckpt", "maest.safetensors"])
    @pytest.mark.parametrize("value", [float("nan"), float("-inf"), 1e300])
    def test_values_that_are_not_finite(
        self, model: Any, state: State, write: Any, name: str, value: float
    ) -> None:
        state["norm.bias"] = state["norm.bias"].double()
        state["norm.bias"][5] = value
        path = write(state, name)
        for read in (load_maest, lambda path: initialise(model, path)):
            words = f"{name}: 'norm.bias' has values that are not finite in float32$"
            with pytest.raises(ModelError, match=words):
                read(path)

    @pytest.mark.parametrize(
        ("convert", "kind"),
        [
            (lambda value: value.long(), "strided of int64"),
            (lambda value: value.bool(), "strided of bool"),
            (lambda value: value.to(torch.complex64), "strided of complex64"),
            (lambda value: value.to_sparse(), "sparse_coo of float32"),
            (lambda value: value.to_sparse_csr(), "sparse_csr of float32"),
        ],
    )
    @pytest.mark.filterwarnings("ignore:Sparse:UserWarning")  # torch's: its sparse forms may change
    def test_arrays_of_other_kinds(
        self, model: Any, state: State, write: Any, convert: Callable[[Any], Any], kind: str
    ) -> None:
        state["blocks.0.attn.qkv.weight"] = convert(state["blocks.0.attn.qkv.weight"])
        path = write(state)
        for read in (load_maest, lambda path: initialise(model, path)):
            what = rf"maest\.ckpt: 'blocks\.0\.attn\.qkv\.weight' is {kind}"
            with pytest.raises(ModelError, match=f"{what}; a MAEST's are strided of a float"):
                read(path)

    def test_values_that_are_no_arrays(self, state: State, write: Any) -> None:
        with pytest.raises(ModelError, match="'epoch' is of type int, not an array"):
            load_maest(write(state | {"epoch": 3}))
