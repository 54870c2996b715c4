"""A site like Essentia's on a local port: small models with its tensor names and JSON files."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from auricle.models.published import PUBLISHED

LABELS = ["Blues---Boogie Woogie", "Electronic---House", "Rock---Surf"]
EMBEDDING = 12
"""Length of the embeddings of the small backbones; of a token, for MAEST."""


Content = bytes | Callable[[BaseHTTPRequestHandler], None]
"""What is served, or a function that answers the request itself."""


class Site:
    """What is served, by path."""

    def __init__(self) -> None:
        self.files: dict[str, Content] = {}
        self.requests: list[str] = []
        self.url = ""

    def put(self, name: str, model: bytes, card: dict[str, Any]) -> None:
        """Publish the model that has this name in the table."""
        path = f"/{PUBLISHED[name].path}"
        self.files[f"{path}.onnx"] = model
        self.files[f"{path}.json"] = json.dumps(card, indent=4).encode()


@contextmanager
def serve() -> Iterator[Site]:
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.requests.append(self.path)
            content = site.files.get(self.path)
            if content is None:
                self.send_error(404)
            elif callable(content):
                content(self)
            else:
                answer(self, content, len(content))

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    site.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()


def answer(request: BaseHTTPRequestHandler, content: bytes, length: int) -> None:
    """Send `content` and say that it is of this length."""
    request.send_response(200)
    request.send_header("Content-Length", str(length))
    request.end_headers()
    request.wfile.write(content)


def card(
    name: str, inputs: list[Any], outputs: list[dict[str, Any]], **more: Any
) -> dict[str, Any]:
    """A JSON as beside the published models: it speaks of the TensorFlow graph."""
    inference = {
        "sample_rate": 16000,
        "algorithm": "TensorflowPredict",
        **more.pop("inference", {}),
    }
    return {
        "name": name,
        "type": "multi-class classifier",
        "link": f"https://example.org/{name}.pb",
        "version": "1",
        "description": f"prediction of {name}",
        "author": "Somebody",
        "email": "somebody@example.org",
        "release_date": "2022-02-17",
        "framework": "tensorflow",
        "framework_version": "2.8.0",
        "classes": LABELS,
        "model_types": ["frozen_model", "onnx"],
        "dataset": {
            "name": "Discogs-4M (unreleased)",
            "size": "4M tracks",
            "metrics": {"PR-AUC": 0.2},
        },
        "schema": {"inputs": inputs, "outputs": outputs},
        "citation": "@inproceedings{...}",
        "inference": inference,
        **more,
    }


def tensor(
    name: str, shape: list[int | str], purpose: str | None = None, op: str = "Flatten"
) -> dict[str, Any]:
    said: dict[str, Any] = {"name": name, "type": "float", "shape": shape, "op": op}
    return said | ({"output_purpose": purpose} if purpose else {})


def effnet() -> tuple[bytes, dict[str, Any]]:
    """`discogs-effnet`."""
    said = card(
        "EffnetDiscogs",
        [tensor("serving_default_melspectrogram", ["n", 128, 96])],
        [
            tensor("PartitionedCall:0", ["n", len(LABELS)], "predictions", "Sigmoid"),
            tensor("PartitionedCall:1", ["n", EMBEDDING], "embeddings"),
        ],
    )
    return plain_backbone(128, 96), said


def musicnn() -> tuple[bytes, dict[str, Any]]:
    """`msd-musicnn`, whose JSON has logits too, of no purpose."""
    said = card(
        "MSD MusiCNN",
        [tensor("model/Placeholder", [187, 96])],
        [
            tensor("model/Sigmoid", [1, len(LABELS)], "predictions", "Sigmoid"),
            tensor("model/dense_1/BiasAdd", [1, len(LABELS)]) | {"output_purpose": ""},
            tensor("model/dense/BiasAdd", [1, EMBEDDING], "embeddings"),
        ],
    )
    return plain_backbone(187, 96), said


def yamnet() -> tuple[bytes, dict[str, Any]]:
    """`audioset-yamnet`, whose JSON and file use the same names; its embeddings come first."""
    said = card(
        "YAMNet",
        [tensor("melspectrogram", [96, 64])],
        [
            tensor("activations", [1, len(LABELS)], "predictions"),
            tensor("embeddings", [1, EMBEDDING], "embeddings"),
        ],
    )
    return plain_backbone(96, 64, ("embeddings", "activations")), said


def plain_backbone(
    frames: int, bands: int, order: Sequence[str] = ("activations", "embeddings")
) -> bytes:
    """Means over time, through a matrix, through another; outputs in this order."""
    nodes = [
        helper.make_node("ReduceMean", ["melspectrogram"], ["means"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["means", "to_embedding"], ["embeddings"]),
        helper.make_node("MatMul", ["embeddings", "to_label"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["activations"]),
    ]
    weights = {"to_embedding": (bands, EMBEDDING), "to_label": (EMBEDDING, len(LABELS))}
    shapes = {"activations": ["n", len(LABELS)], "embeddings": ["n", EMBEDDING]}
    outputs = {name: shapes[name] for name in order}
    return model(nodes, weights, {"melspectrogram": ["n", frames, bands]}, outputs)


def maest(frames: int) -> tuple[bytes, dict[str, Any]]:
    """`discogs-maest-*`: every frame a token, activations of their mean, open sizes of tokens."""
    nodes = [
        helper.make_node("MatMul", ["melspectrogram", "to_token"], ["layer_07_embeddings"]),
        helper.make_node("ReduceMean", ["layer_07_embeddings"], ["means"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["means", "to_label"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["activations"]),
    ]
    weights = {"to_token": (96, EMBEDDING), "to_label": (EMBEDDING, len(LABELS))}
    outputs = {
        "logits": ["batch_size", len(LABELS)],
        "layer_07_embeddings": ["batch_size", "tokens", "size"],
        "activations": ["batch_size", len(LABELS)],
    }
    said = card(
        "MAEST",
        [tensor("melspectrogram", [1, frames, 96])],
        [
            tensor("PartitionedCall/Identity", [1, len(LABELS)], op="Linear"),
            tensor("PartitionedCall/Identity_7", [1, "n_tokens", EMBEDDING], "embeddings"),
            tensor("PartitionedCall/Identity_13", [1, len(LABELS)], "predictions", "Sigmoid"),
        ],
    )
    return model(nodes, weights, {"melspectrogram": ["batch_size", frames, 96]}, outputs), said


def head() -> tuple[bytes, dict[str, Any]]:
    """A head on `discogs-effnet`."""
    nodes = [
        helper.make_node("MatMul", ["embeddings", "hidden_weight"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["rectified"]),
        helper.make_node("MatMul", ["rectified", "weight"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["activations"], axis=1),
    ]
    weights = {"hidden_weight": (EMBEDDING, 5), "weight": (5, 2)}
    said = card(
        "mood sad",
        [tensor("model/Placeholder", [EMBEDDING])],
        [
            tensor("model/Softmax", [2], "predictions", "Softmax"),
            tensor("model/dense/BiasAdd", [5]),
        ],
        classes=["non_sad", "sad"],
        inference={"embedding_model": {"algorithm": "A", "model_name": "discogs-effnet-bs64-1"}},
    )
    inputs = {"embeddings": ["unk__1", EMBEDDING]}
    return model(nodes, weights, inputs, {"activations": ["unk__2", 2]}), said


def regression() -> tuple[bytes, dict[str, Any]]:
    """A head on `msd-musicnn` that gives values, and whose file has TensorFlow's names."""
    nodes = [
        helper.make_node("MatMul", ["model/Placeholder:0", "hidden_weight"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["rectified"]),
        helper.make_node("MatMul", ["rectified", "weight"], ["values"]),
        helper.make_node("Identity", ["values"], ["model/Identity:0"]),
    ]
    weights = {"hidden_weight": (EMBEDDING, 5), "weight": (5, 2)}
    said = card(
        "arousal_valence",
        [tensor("model/Placeholder", [EMBEDDING])],
        [tensor("model/Identity", [2], "predictions", "Identity")],
        classes=["valence", "arousal"],
        inference={"embedding_model": {"algorithm": "A", "model_name": "msd-musicnn-1"}},
    )
    inputs = {"model/Placeholder:0": ["unk__1", EMBEDDING]}
    return model(nodes, weights, inputs, {"model/Identity:0": ["unk__2", 2]}), said


def model(
    nodes: list[Any],
    weights: dict[str, tuple[int, int]],
    inputs: dict[str, Any],
    outputs: dict[str, Any],
) -> bytes:
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in weights.items()}

    def infos(tensors: dict[str, Any]) -> list[Any]:
        return [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, s) for name, s in tensors.items()
        ]

    graph = helper.make_graph(
        nodes,
        "small",
        infos(inputs),
        infos(outputs),
        [numpy_helper.from_array(value, name) for name, value in arrays.items()],
    )
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(whole)
    return bytes(whole.SerializeToString())
