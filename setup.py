"""Packaging of Auricle; tool settings are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.findall(
    r'__version__ = "(.+)"', (HERE / "src/auricle/__init__.py").read_text(encoding="utf-8")
)[0]

# Lower bounds of CORE and of the extra "test" are the oldest releases that the suite passes with on
# Python 3.11: .ci/run installs them. Those of the other extras are the oldest that were used. Upper
# bounds leave out the first major version that nobody has tried.
CORE = [
    "av>=18,<20",
    "click>=8.1,<9",
    "google-crc32c>=1.6,<2",
    "msgpack>=1.0.5,<2",
    "msgspec>=0.19,<1",
    "numba>=0.60,<1",
    "numpy>=2.0,<3",
    "onnx>=1.16,<2",
    "onnxruntime>=1.19,<2",
    "pip>=23",  # `auricle models pull` downloads through it, so the user's index settings hold
    "platformdirs>=4,<5",
    "pydantic>=2.10,<3",
    "pyyaml>=6,<7",
    "pyzmq>=26,<28",
    "rich>=13,<16",
    "safetensors>=0.4,<1",
    "sounddevice>=0.5,<1",
    "soxr>=0.5,<2",
    "typing-extensions>=4.12.2,<5",
]

EXTRAS = {
    # What `make test` needs.
    "test": [
        "coverage>=7.10.6,<8",
        "hypothesis>=6.100,<7",
        "matplotlib>=3.9,<4",
        "pytest>=8.2,<10",
        "pytest-timeout>=2.3.1,<3",
        "scipy>=1.13,<2",
        "setuptools>=77.0.3",
    ],
    # What `make lint`, `make types` and `make hooks` need, beside the extra `test`.
    "lint": [
        "import-linter>=2.17,<3",
        "mypy>=2.4,<3",
        "pre-commit>=4,<5",
        "ruff>=0.17,<0.18",
        "types-PyYAML>=6",
    ],
    # The pages of docs/.
    "docs": ["furo>=2025.12", "myst-parser>=5,<6", "sphinx>=9,<10"],
    # `auricle-train`, and export of the networks in models/networks. Nothing that runs a graph
    # imports torch.
    "train": [
        "faiss-cpu>=1.9,<2",
        "lightning>=2.5,<3",
        "matplotlib>=3.9,<4",
        "mutagen>=1.47,<2",
        "onnxscript>=0.5,<1",
        "pyarrow>=17,<27",
        "scikit-learn>=1.5,<2",
        "scipy>=1.13,<2",
        "tensorboard>=2.17,<3",
        "torch>=2.9,<3",
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
    "bench": ["matplotlib>=3.9,<4", "scipy>=1.13,<2"],
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
    license_files=["LICENSE"],
    author="Auricle contributors",
    keywords=[
        "audio",
        "audio tagging",
        "embeddings",
        "music information retrieval",
        "onnx",
        "radio monitoring",
        "streaming",
        "zeromq",
    ],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: MacOS",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Multimedia :: Sound/Audio :: Analysis",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    python_requires=">=3.11",
    # auricle/engine, auricle/graphs and so on link to folders at the root; builds hold real files.
    # src holds a link to auricle and nothing else, so that this is all that an editable install
    # puts on the path: not the folders at the root, whose names other projects use, too.
    packages=find_packages("src"),
    package_dir={"": "src"},
    package_data={
        "auricle": [
            "graphs/*.*",
            "graphs/demo/LICENSE.md",
            "graphs/demo/demo.ogg",
            "graphs/heads/*/*",
            "py.typed",
            "wire/*.json",
        ],
        "auricle.wire": ["schema.json"],
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
