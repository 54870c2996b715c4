"""Packaging of Auricle; tool settings are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.findall(
    r'__version__ = "(.+)"', (HERE / "auricle/__init__.py").read_text(encoding="utf-8")
)[0]

CORE = [
    "av>=14",
    "click>=8.1",
    "google-crc32c>=1.5",
    "msgpack>=1.0",
    "msgspec>=0.19",
    "numba>=0.60",
    "numpy>=1.26",
    "onnx>=1.16",
    "onnxruntime>=1.19",
    "pip>=23",  # `auricle models pull` downloads through it, so the user's index settings hold
    "platformdirs>=4",
    "pydantic>=2.7",
    "pyyaml>=6",
    "pyzmq>=26",
    "rich>=13",
    "safetensors>=0.4",
    "sounddevice>=0.5",
    "soxr>=0.5",
    "typing-extensions>=4.6",
]

EXTRAS = {
    # What `make test` and .ci/run need.
    "test": [
        "hypothesis>=6.100",
        "matplotlib>=3.8",
        "mypy>=1.13",
        "pytest>=8",
        "pytest-timeout>=2.3",
        "ruff>=0.8",
        "scipy>=1.11",
        "types-PyYAML",
    ],
    # `auricle-train`, and export of the networks in models/networks. Nothing that runs a graph
    # imports torch.
    "train": [
        "faiss-cpu>=1.9",
        "lightning>=2.5",
        "matplotlib>=3.8",
        "mutagen>=1.47",
        "onnxscript>=0.5",
        "pyarrow>=17",
        "scikit-learn>=1.5",
        "scipy>=1.11",
        "tensorboard>=2.17",
        "torch>=2.9",
    ],
    # The providers cuda, tensorrt and torch-tensorrt. onnxruntime, which the core asks for, and its
    # twin for GPUs lie in the same place, where the one written last counts. So afterwards: pip
    # uninstall onnxruntime, then pip install --force-reinstall --no-deps onnxruntime-gpu.
    # torch-tensorrt brings TensorRT: version 10, which onnxruntime-gpu is built for; from 2.13 on
    # it is version 11.
    "gpu": ["onnxruntime-gpu[cuda,cudnn]>=1.21", "torch-tensorrt>=2.9,<2.13"],
    # Other people's implementations, compared with in tests only; without one its tests are
    # skipped. maest_infer (AGPL) and torch_vggish_yamnet ask for torchaudio, which their networks
    # do without: install them with --no-deps where torchaudio has no build for this torch.
    "parity": ["efficientnet_pytorch", "maest_infer", "torch_vggish_yamnet", "transformers"],
    # Plots of `auricle bench`, and the faster transform for its NumPy contender.
    "bench": ["matplotlib>=3.8", "scipy>=1.11"],
    # AGPL-licensed reference, compared with in tests only; those tests are skipped without it.
    "reference": ["essentia"],
}

setup(
    name="auricle",
    version=VERSION,
    description="Live tags, events and embeddings of audio streams over ZeroMQ",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    # auricle/engine, auricle/graphs and so on link to folders at the root; builds hold real files.
    # holds real files.
    packages=find_packages(include=["auricle", "auricle.*"]),
    package_data={
        "auricle": ["py.typed", "graphs/*.*", "graphs/demo/*", "graphs/heads/*/*"],
        "auricle.models": ["shipped/*/*"],
        "auricle.training": ["recipes/*.yaml"],
    },
    install_requires=CORE,
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": [
            "auricle = auricle.__main__:main",
            "auricle-train = auricle.train:main",
        ],
    },
)
