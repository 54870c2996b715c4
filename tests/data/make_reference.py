"""Make `reference.flac` and `reference.npz`: what Essentia-TensorFlow gives for a clip of our own.

The clip is 12.4 s of graphs/demo/demo.ogg around both changes of scene, mixed down to 16 kHz mono,
16 bit. The arrays are float32; README.md beside this file lists them. Essentia is AGPL: a tool that
is run here to get numbers, never imported by the project, nor by its tests.

Made with Python 3.11, essentia-tensorflow 2.1b6.dev1389, numpy 2.4.6 and ffmpeg 5.1.9 from graphs
frozen by tensorflow-cpu 2.21.0. To make them again, in a separate environment:

    python -m venv peers
    peers/bin/pip install essentia-tensorflow==2.1b6.dev1389 numpy==2.4.6 tensorflow-cpu==2.21.0
    peers/bin/pip download --no-deps musicnn==0.1.0
    peers/bin/python tests/data/freeze_graphs.py musicnn-0.1.0-py3-none-any.whl GRAPHS
    peers/bin/python tests/data/make_reference.py GRAPHS
"""

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import essentia.standard as es
import numpy as np

HERE = Path(__file__).resolve().parent
DEMO = HERE.parents[1] / "graphs" / "demo" / "demo.ogg"
CLIP = HERE / "reference.flac"
ARRAYS = HERE / "reference.npz"

CLIP_START_S, CLIP_DURATION_S = 7.6, 12.4
CLIP_GAIN = 0.4  # one bit less to code in every sample: it keeps the file under 250 kB

# (array, graph, node of its output); segments of 187 frames every 93, the wrapper's defaults
OUTPUTS = [
    ("musicnn-mtt/activations", "musicnn-mtt", "model/Sigmoid"),
    ("musicnn-mtt/embeddings", "musicnn-mtt", "model/dense/BiasAdd"),
    ("musicnn-msd/activations", "musicnn-msd", "model/Sigmoid"),
    ("musicnn-msd/embeddings", "musicnn-msd", "model/dense/BiasAdd"),
    ("vgg-mtt/activations", "vgg-mtt", "model/Sigmoid"),
    ("vgg-msd/activations", "vgg-msd", "model/Sigmoid"),
]


def cut_clip() -> None:
    command = ["ffmpeg", "-v", "error", "-y", "-i", str(DEMO)]
    command += ["-ss", str(CLIP_START_S), "-t", str(CLIP_DURATION_S)]
    command += ["-af", f"volume={CLIP_GAIN}", "-ac", "1", "-ar", "16000", "-sample_fmt", "s16"]
    command += ["-compression_level", "12", "-fflags", "+bitexact", "-flags:a", "+bitexact"]
    subprocess.run([*command, "-map_metadata", "-1", str(CLIP)], check=True)


def load(path: Path, quality: int = 4) -> np.ndarray:
    """The mean of the channels at 16 kHz.

    Essentia's examples for these models ask for quality 4, which is libsamplerate's linear
    interpolation and aliases; 0 is its best sinc filter.
    """
    loader = es.MonoLoader(filename=str(path), sampleRate=16000, resampleQuality=quality)
    return np.asarray(loader())


def mel(
    samples: np.ndarray,
    compute: Callable[[np.ndarray], np.ndarray],
    frame_size: int,
    hop_size: int,
) -> np.ndarray:
    """The front end over frames centred on the multiples of hop_size, as (frames, bands)."""
    frames = es.FrameGenerator(samples, frameSize=frame_size, hopSize=hop_size, startFromZero=False)
    return np.array([compute(frame) for frame in frames])


def predict(samples: np.ndarray, graph: Path, output: str) -> np.ndarray:
    arguments = {"patchSize": 187, "patchHopSize": 93, "lastPatchMode": "discard"}
    network = es.TensorflowPredictMusiCNN(graphFilename=str(graph), output=output, **arguments)
    return np.asarray(network(samples))


def main(graphs: Path) -> None:
    cut_clip()
    clip = load(CLIP)
    arrays = {name: predict(clip, graphs / f"{graph}.pb", node) for name, graph, node in OUTPUTS}
    arrays["mel_musicnn"] = mel(clip, es.TensorflowInputMusiCNN(), 512, 256)
    arrays["mel_vggish"] = mel(clip, es.TensorflowInputVGGish(), 400, 160)
    for quality, suffix in ((4, ""), (0, "_sinc")):
        demo = load(DEMO, quality)
        for model in ("musicnn-mtt", "musicnn-msd"):
            activations = predict(demo, graphs / f"{model}.pb", "model/Sigmoid")
            arrays[f"demo/{model}/mean_activations{suffix}"] = activations.mean(axis=0)
    assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in arrays.values())

    np.savez_compressed(ARRAYS, allow_pickle=False, **arrays)
    print("essentia-tensorflow", version("essentia-tensorflow"), "numpy", version("numpy"))
    for name, array in arrays.items():
        print(name, array.shape)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python tests/data/make_reference.py FOLDER_OF_FROZEN_GRAPHS")
    main(Path(sys.argv[1]))
