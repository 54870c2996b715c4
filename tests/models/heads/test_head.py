"""Heads: they compute what their file says, and what is not a plain MLP is refused by name."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from safetensors.numpy import save_file

from auricle.errors import ModelError
from auricle.models.card import Activation
from auricle.models.heads.head import Mlp, load_head, save_head
from auricle.models.heads.mlp import Layer

RNG = np.random.default_rng(7)
EMBEDDINGS = RNG.normal(0, 2, (9, 20)).astype(np.float32)

# Composing affine maps changes the order of float32 sums over at most 20 values of size about 10.
TOLERANCE = 1e-5


def array(*shape: int) -> np.ndarray:
    return RNG.normal(0, 0.5, shape).astype(np.float32)


CONSTANTS = {
    "w1": array(20, 12),
    "w1t": array(12, 20),
    "b1": array(12),
    "w2": array(12, 4),
    "b2": array(4),
    "gamma": array(12),
    "beta": array(12),
    "mean": array(12),
    "variance": np.abs(array(12)) + 0.1,
    "gamma0": array(20),
    "beta0": array(20),
    "mean0": array(20),
    "variance0": np.abs(array(20)) + 0.1,
    "scale": array(12),
    "half": np.array(0.5, np.float32),
    "shape": np.array([-1, 4], np.int64),
    "kernel": array(3, 1, 1, 1),
}


def node(kind: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), [output], output, **attributes)


def write_onnx(
    folder: Path, nodes: list[onnx.NodeProto], outputs: dict[str, int], **card: Any
) -> Path:
    """A head folder as Essentia publishes them: NAME.onnx and NAME.json."""
    used = {name for n in nodes for name in n.input}
    graph = helper.make_graph(
        nodes,
        "head",
        [helper.make_tensor_value_info("x", 1, ["batch", 20])],
        [helper.make_tensor_value_info(name, 1, ["batch", size]) for name, size in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in CONSTANTS.items() if name in used],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "mood.onnx").write_bytes(model.SerializeToString())
    shapes = [{"name": name, "shape": ["batch", size]} for name, size in outputs.items()]
    shapes[0]["output_purpose"] = "predictions"
    content = {
        "name": "mood",
        "type": "multi-class classifier",
        "version": "1",
        "classes": [f"class {i}" for i in range(next(iter(outputs.values())))],
        "schema": {"inputs": [{"name": "x", "shape": [20]}], "outputs": shapes},
        "inference": {"sample_rate": 16000},
    }
    path = folder / "mood.json"
    path.write_text(json.dumps(content | card))
    return path


CHAINS = {
    "MatMul and Add": [
        node("MatMul", "x w1", "a"),
        node("Add", "a b1", "b"),
        node("Relu", "b", "c"),
        node("MatMul", "c w2", "d"),
        node("Add", "b2 d", "e"),
        node("Softmax", "e", "y", axis=1),
    ],
    "Gemm, batch norm behind the activation, dropout": [
        node("Gemm", "x w1t b1", "a", transB=1, alpha=0.5, beta=2.0),
        node("Relu", "a", "b"),
        node("BatchNormalization", "b gamma beta mean variance", "c", epsilon=1e-3),
        node("Dropout", "c", "d"),
        node("Gemm", "d w2 b2", "e"),
        node("Sigmoid", "e", "y"),
    ],
    "batch norm at the input and before the activation": [
        node("BatchNormalization", "x gamma0 beta0 mean0 variance0", "a"),
        node("MatMul", "a w1", "b"),
        node("BatchNormalization", "b gamma beta mean variance", "c"),
        node("Relu", "c", "d"),
        node("MatMul", "d w2", "y"),
    ],
    "element by element, reshaping": [
        node("Flatten", "x", "a"),
        node("MatMul", "a w1", "b"),
        node("Sub", "b b1", "c"),
        node("Mul", "c half", "d"),
        node("Relu", "d", "e"),
        node("Mul", "scale e", "f"),
        node("Sub", "b1 f", "g"),
        node("MatMul", "g w2", "h"),
        node("Reshape", "h shape", "i"),
        node("Identity", "i", "y"),
    ],
}


@pytest.mark.parametrize("chain", CHAINS)
def test_onnx_head_computes_what_onnx_runtime_does(tmp_path: Path, chain: str) -> None:
    path = write_onnx(tmp_path, CHAINS[chain], {"y": 4})
    session = onnxruntime.InferenceSession(
        tmp_path / "mood.onnx", providers=["CPUExecutionProvider"]
    )
    (expected,) = session.run(["y"], {"x": EMBEDDINGS})

    head = load_head(path)
    assert (head.input_size, head.output_size, len(head.layers)) == (20, 4, 2)
    assert head.labels == ("class 0", "class 1", "class 2", "class 3")
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(head(EMBEDDINGS), expected, rtol=0, atol=TOLERANCE)


def test_onnx_head_uses_the_output_for_predictions(tmp_path: Path) -> None:
    path = write_onnx(
        tmp_path, [*CHAINS["MatMul and Add"], node("Relu", "a", "z")], {"y": 4, "z": 12}
    )
    assert load_head(path).output_size == 4
    assert [layer.activation for layer in load_head(path).layers] == ["relu", "softmax"]


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (
            [node("Tanh", "x", "y")],
            r"node 'y' \(Tanh\): has no place in a head; these operators have: MatMul",
        ),
        ([node("MatMul", "x w1", "a"), node("Add", "a a", "y")], r"node 'y' \(Add\) has 2 inputs"),
        (
            [node("MatMul", "x w1", "a"), node("MatMul", "a w1", "y")],
            r"node 'y' \(MatMul\): .*mismatch",
        ),
        (
            [node("MatMul", "x w1", "a"), node("Add", "a b2", "y")],
            r"4 values where 12 or one are needed",
        ),
        ([node("MatMul", "x b1", "y")], "only a product with a constant matrix"),
        ([node("Gemm", "x w1", "y", transA=1)], "transposed input"),
        ([node("MatMul", "x w1", "a"), node("Softmax", "a", "y", axis=0)], "axis 0"),
        ([node("Conv", "x kernel", "y")], r"\(Conv\): has no place in a head"),
        ([node("Relu", "x", "y")], "follows no layer"),
        ([node("Relu", "nowhere", "y")], "nothing in the graph makes 'nowhere'"),
    ],
)
def test_what_is_no_mlp_is_refused(
    tmp_path: Path, nodes: list[onnx.NodeProto], message: str
) -> None:
    path = write_onnx(tmp_path, nodes, {"y": 4})
    with pytest.raises(ModelError, match=message) as caught:
        load_head(path)
    assert "mood.onnx" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_wrong_outputs_of_an_onnx_head(tmp_path: Path) -> None:
    path = write_onnx(tmp_path, CHAINS["MatMul and Add"], {"y": 4}, classes=["only", "two"])
    with pytest.raises(ModelError, match="head 'mood': 4 outputs, but the card has 2 classes"):
        load_head(path)

    chain = [*CHAINS["MatMul and Add"], node("Relu", "a", "z")]
    outputs = [{"name": "model/Softmax", "output_purpose": "predictions"}]
    path = write_onnx(
        tmp_path, chain, {"y": 4, "z": 12}, schema={"inputs": [{"name": "x"}], "outputs": outputs}
    )
    with pytest.raises(ModelError, match="no output 'model/Softmax'; outputs are: y, z"):
        load_head(path)

    path = write_onnx(
        tmp_path,
        CHAINS["MatMul and Add"],
        {"y": 4},
        schema={"inputs": [{"name": "x", "shape": [1280]}], "outputs": outputs},
    )
    with pytest.raises(ModelError, match="head 'mood': takes 20 values, the card says 1280"):
        load_head(path)


def test_files_that_are_not_onnx(tmp_path: Path) -> None:
    path = write_onnx(tmp_path, CHAINS["MatMul and Add"], {"y": 4})
    whole = (tmp_path / "mood.onnx").read_bytes()
    for content in (b"this is text", whole[: len(whole) // 2], b""):
        (tmp_path / "mood.onnx").write_bytes(content)
        with pytest.raises(ModelError, match=r"mood\.onnx"):
            load_head(path)


def layers(*sizes: int, last: Activation = "sigmoid") -> list[Layer]:
    kinds: list[Activation] = ["relu" for _ in sizes[2:]]
    kinds.append(last)
    return [
        Layer(array(fan_in, fan_out), array(fan_out), kind)
        for fan_in, fan_out, kind in zip(sizes, sizes[1:], kinds, strict=False)
    ]


def save(folder: Path, parts: list[Layer], labels: int) -> Mlp:
    return save_head(
        folder,
        parts,
        name="mine",
        labels=[f"tag {i}" for i in range(labels)],
        embedding_model="musicnn-mtt",
    )


@pytest.mark.parametrize("last", ["sigmoid", "softmax", "linear", "relu"])
def test_saved_head_comes_back(tmp_path: Path, last: Activation) -> None:
    saved = save(tmp_path / "mine", layers(20, 8, 6, 3, last=last), 3)
    loaded = load_head(tmp_path / "mine")

    assert loaded.labels == ("tag 0", "tag 1", "tag 2")
    assert loaded.card == saved.card
    assert loaded.card.inference.embedding_model is not None
    assert loaded.card.inference.embedding_model.model_name == "musicnn-mtt"
    assert [layer.activation for layer in loaded.layers] == ["relu", "relu", last]
    np.testing.assert_array_equal(loaded(EMBEDDINGS), saved(EMBEDDINGS))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "mine"
    ]  # no temporary folder is left


def test_saving_replaces_a_head(tmp_path: Path) -> None:
    save(tmp_path / "mine", layers(20, 3), 3)
    save(tmp_path / "mine", layers(20, 5), 5)
    assert load_head(tmp_path / "mine").output_size == 5


def test_what_makes_no_head_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="3 outputs, but the card has 4 classes"):
        save(tmp_path / "mine", layers(20, 3), 4)
    with pytest.raises(ModelError, match="layer 0 gives 8 values, layer 1 takes 7"):
        save(tmp_path / "mine", [*layers(20, 8), *layers(7, 3)], 3)
    with pytest.raises(ModelError, match="no layers"):
        save(tmp_path / "mine", [], 3)
    with pytest.raises(ModelError, match="head 'mine': label 'a' occurs twice"):
        save_head(
            tmp_path / "mine", layers(20, 2), name="mine", labels=("a", "a"), embedding_model="x"
        )
    broken = layers(20, 3)
    broken[0].weight[4, 1] = np.inf
    with pytest.raises(ModelError, match="layer 0 has values that are not finite"):
        save(tmp_path / "mine", broken, 3)
    with pytest.raises(
        ModelError, match=r"weight \(20, 3\) \(in, out\) and bias \(4,\) do not fit"
    ):
        save(tmp_path / "mine", [Layer(array(20, 3), array(4), "relu")], 3)
    assert list(tmp_path.iterdir()) == []


def rewrite_card(folder: Path, **changes: Any) -> None:
    path = folder / "card.json"
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def test_torch_layout_on_disk(tmp_path: Path) -> None:
    """A file written by hand as torch has it: weights (out, in), y = W x + b."""
    save(tmp_path / "mine", layers(2, 3, last="linear"), 3)
    weight = np.array([[1, 0], [0, 1], [10, 100]], np.float32)
    bias = np.array([0, 1, 2], np.float32)
    save_file(
        {"layers.0.weight": weight, "layers.0.bias": bias}, tmp_path / "mine/model.safetensors"
    )
    rewrite_card(tmp_path / "mine", sha256=None)
    head = load_head(tmp_path / "mine")
    np.testing.assert_array_equal(head(np.array([[3, 5]], np.float32)), [[3, 6, 532]])


def test_damaged_safetensors(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    save(folder, layers(20, 8, 3), 3)
    file = folder / "model.safetensors"
    whole = file.read_bytes()

    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(
        ModelError, match=r"head 'mine': .* is damaged: its sha256 is not that of the card"
    ):
        load_head(folder)

    rewrite_card(folder, sha256=None)
    file.write_bytes(whole[:-10])
    with pytest.raises(ModelError, match=r"model\.safetensors: not a safetensors file"):
        load_head(folder)

    save_file({"fc.weight": array(3, 20)}, file)
    with pytest.raises(
        ModelError, match=r"has fc\.weight; the card's 'layer_activations' ask for layers\.0\.bias"
    ):
        load_head(folder)

    rewrite_card(folder, layer_activations=None)
    with pytest.raises(ModelError, match="'layer_activations' is missing in the card"):
        load_head(folder)

    file.unlink()
    with pytest.raises(ModelError, match=r"no model\.safetensors in"):
        load_head(folder)


def test_sigmoid_and_softmax_of_large_values() -> None:
    """No overflow (numpy's warnings are errors here), and the limits are right."""
    large = np.array([[-1000, 0, 1000]], np.float32)
    unit = np.eye(3, dtype=np.float32)
    with np.errstate(all="raise", under="ignore"):
        sigmoid = Layer(unit, np.zeros(3, np.float32), "sigmoid")(large)
        softmax = Layer(unit, np.zeros(3, np.float32), "softmax")(large)
    assert sigmoid.dtype == softmax.dtype == np.float32
    np.testing.assert_array_equal(sigmoid, [[0, 0.5, 1]])
    np.testing.assert_array_equal(softmax, [[0, 0, 1]])
