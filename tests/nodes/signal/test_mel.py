"""Mel frames against numbers of Essentia, a plain float64 form, and other cuts of the signal.

Tolerances. To the table of numbers 5e-4: they have 5 digits and come from another float32 program.
To the float64 form: rounding in a float32 transform reaches 1.5e-7 of the strongest bin in every
other bin, up to 2e-5 for a tone of full scale. "musicnn" sums squares and adds 1, which leaves
1e-5; "vggish" sums up to 18 magnitudes and divides by 0.01, which beside a strong tone makes 4e-4
of it in bands that are about empty. To Essentia 3e-4, or its own distance from the float64 form
where that is more (a chord, 3.2e-4; "vggish", up to 4e-4); ours must be the smaller or alike. To
other cuts of the same signal: none.
"""

import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from auricle.models.front_end import FRONT_ENDS, FrontEnd
from auricle.nodes.signal import fft
from auricle.nodes.signal.mel import (
    MelKernel,
    filter_bank,
    hz_to_mel,
    mel_spectrogram,
    mel_to_hz,
    window,
)

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Logarithm = Callable[[Float64], Float64]

DATA = Path(__file__).parents[2] / "data"
MUSICNN, VGGISH = FRONT_ENDS["musicnn"], FRONT_ENDS["vggish"]
both_front_ends = pytest.mark.parametrize(
    "front_end", [MUSICNN, VGGISH], ids=lambda front_end: front_end.name
)


# Signals
# ---------------------------------------------------------------------------------------------


def lcg(size: int) -> Float64:
    """Noise of +-0.1 that any language can reproduce."""
    x, out = 12345, np.empty(size)
    for i in range(size):
        x = (1103515245 * x + 12345) % 2**31
        out[i] = (x / 2**31 - 0.5) * 0.2
    return out


def golden_signals() -> dict[str, Float64]:
    t = np.arange(16000) / 16000
    return {
        "sine440": 0.5 * np.sin(2 * np.pi * 440 * t),
        "chirp": 0.5 * np.sin(2 * np.pi * (100 * t + 0.5 * 7000 * t**2)),
        "impulse": (np.arange(16000) == 8000).astype(float),
        "lcg": lcg(16000),
    }


def chord(size: int) -> Float64:
    """Something like music: notes with overtones that die away, a beat of noise, and a pause."""
    rng = np.random.default_rng(5)
    t = np.arange(size) / 16000
    out = np.zeros(size)
    for onset, pitch in enumerate((110, 164.8, 220, 277.2, 329.6, 440)):
        since = t - 0.2 * onset
        envelope = np.where(since >= 0, np.exp(-4 * np.maximum(since, 0)), 0)
        out += envelope * sum(np.sin(2 * np.pi * pitch * h * t + h) / h**1.5 for h in range(1, 12))
    out += 0.3 * rng.standard_normal(size) * np.exp(-30 * (t % 0.25))
    out[size // 2 : size // 2 + 1500] = 0
    return np.asarray(0.9 * out / np.abs(out).max())


def probes() -> dict[str, Float64]:
    rng = np.random.default_rng(1)
    golden = golden_signals()
    n = np.arange(8000)
    return {
        "noise": rng.uniform(-1, 1, 8000),
        "chirp": golden["chirp"],
        "silence": np.zeros(3000),
        "full-scale square": np.sign(np.sin(2 * np.pi * (n + 0.5) / 73)),
        "quiet noise": 1e-4 * rng.standard_normal(4000),
        "one bit of 24": 2.0**-23 * rng.integers(-1, 2, 4000),
        "below float32's normal range": 1e-39 * rng.standard_normal(2000),
        "chord": chord(16000),
        "one sample": np.array([0.7]),
    }


def float32(signal: NDArray[Any]) -> Float32:
    return np.asarray(signal).astype(np.float32)


def clip() -> Float32:
    """`tests/data/reference.flac`, (samples,) float32, full scale 1."""
    with av.open(str(DATA / "reference.flac")) as container:
        assert container.streams.audio[0].rate == 16000
        blocks = [frame.to_ndarray() for frame in container.decode(audio=0)]
    samples = np.concatenate(blocks, axis=1)[0]
    assert samples.dtype == np.int16
    return np.asarray(samples.astype(np.float32) / 32768)


def tolerance(front_end: FrontEnd, name: str, usual: float) -> float:
    """`usual`, or what float32 holds in the empty bands beside a tone."""
    return 1e-3 if front_end is VGGISH and name in ("chirp", "chord") else usual


# The plain form
# --------------------------------------------------------------------------------------------


def plain_bank(name: str, n_bins: int = 257) -> Float64:
    """The triangles one at a time; shares no code with `auricle.nodes.signal.mel`."""

    def slaney(mel: float) -> float:
        return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)

    def htk(hz: float) -> float:
        return 2595 * math.log10(1 + hz / 700)

    hz = [k * 16000 / 512 for k in range(n_bins)]
    if name == "musicnn":
        top = 15 + 27 * math.log(8) / math.log(6.4)
        edges, places = [slaney(top * i / 97) for i in range(98)], hz
    else:
        low, high = htk(125), htk(7500)
        edges, places = [low + (high - low) * i / 65 for i in range(66)], [htk(f) for f in hz]
    bank = np.zeros((len(edges) - 2, n_bins))
    for b, (foot, peak, end) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        for k, place in enumerate(places):
            if foot < place <= peak:
                bank[b, k] = (place - foot) / (peak - foot)
            elif peak < place < end:
                bank[b, k] = (end - place) / (end - peak)
        if name == "musicnn":
            bank[b] *= 2 / (end - foot)
    return bank


def plain_mel(
    signal: NDArray[Any],
    name: str,
    periodic: bool = False,
    pad: Literal["constant", "reflect"] = "constant",
    log: Logarithm | None = None,
    power: int | None = None,
) -> Float64:
    """The whole front end in float64, with the mistakes one can make as options."""
    size, hop = (512, 256) if name == "musicnn" else (400, 160)
    signal = np.asarray(signal, dtype=np.float64)
    frames = 1 + math.ceil(len(signal) / hop)
    padded = np.concatenate([np.pad(signal, (size // 2, 0), mode=pad), np.zeros(2 * size)])
    n = np.arange(size)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * n / (size if periodic else size - 1))
    spectrum = np.array(
        [np.abs(np.fft.rfft(padded[t * hop : t * hop + size] * hann, 512)) for t in range(frames)]
    )
    spectrum = spectrum ** (power or (2 if name == "musicnn" else 1))
    bands = spectrum @ plain_bank(name).T
    if name == "musicnn":
        return (log or np.log10)(1 + 1e4 * bands)
    return (log or np.log)(bands + 0.01)


@both_front_ends
@pytest.mark.parametrize("name", probes())
def test_equals_the_plain_form(front_end: FrontEnd, name: str) -> None:
    samples = float32(probes()[name])
    ours = mel_spectrogram(samples, front_end)
    assert ours.dtype == np.float32
    expected = plain_mel(samples, front_end.name)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=tolerance(front_end, name, 3e-5))


@both_front_ends
def test_equals_the_plain_form_on_music(front_end: FrontEnd) -> None:
    samples = clip()
    ours = mel_spectrogram(samples, front_end)
    np.testing.assert_allclose(ours, plain_mel(samples, front_end.name), rtol=0, atol=3e-5)


@both_front_ends
def test_bank_equals_the_plain_bank(front_end: FrontEnd) -> None:
    np.testing.assert_allclose(
        filter_bank(front_end), plain_bank(front_end.name), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_mel_scales_are_inverse_to_themselves_and_rise(scale: Literal["slaney", "htk"]) -> None:
    hz = np.linspace(0, 8000, 1001)
    mel = hz_to_mel(hz, scale)
    assert (np.diff(mel) > 0).all()
    np.testing.assert_allclose(mel_to_hz(mel, scale), hz, rtol=1e-12, atol=1e-9)


# Golden numbers
# --------------------------------------------------------------------------------------------

# signal: mean, maximum, its (frame, band), {(frame, band): value}
GOLDEN_MUSICNN: dict[
    str, tuple[float, float, tuple[int, int], list[float], float, float, float]
] = {
    "sine440": (0.34735, 6.08916, (1, 13), [0.00075, 0.00096, 0.00143], 1.04061, 4.24016, 3.71922),
    "chirp": (0.29351, 5.84056, (3, 13), [0, 0, 0], 0, 2.74405, 0.06518),
    "impulse": (0.05102, 2.39273, (31, 41), [0, 0, 0], 0, 0, 0),
    "lcg": (2.15278, 3.18210, (21, 6), [1.34192, 2.16623, 2.25492], 1.92195, 0.89526, 0.64110),
}
GOLDEN_VGGISH = {
    "sine440": (-3.40855, 4.08723, (2, 8), 1.79857),
    "chirp": (-3.78260, 4.93502, (94, 61), -4.57568),
    "impulse": (-4.48236, 2.19210, (50, 63), -4.60517),
    "lcg": (0.53843, 2.18551, (74, 62), -0.81273),
}


@pytest.mark.parametrize("name", GOLDEN_MUSICNN)
def test_golden_numbers_of_musicnn(name: str) -> None:
    mean, maximum, where, low_bands, inner, first, last = GOLDEN_MUSICNN[name]
    mel = mel_spectrogram(golden_signals()[name], MUSICNN)
    assert mel.shape == (64, 96)
    assert [int(n) for n in np.unravel_index(mel.argmax(), mel.shape)] == [*where]
    numbers = [mel.mean(), mel.max(), *mel[30, :3], mel[30, 10], mel[0, 10], mel[63, 10]]
    np.testing.assert_allclose(
        numbers, [mean, maximum, *low_bands, inner, first, last], rtol=0, atol=5e-4
    )


@pytest.mark.parametrize("name", GOLDEN_VGGISH)
def test_golden_numbers_of_vggish(name: str) -> None:
    mean, maximum, where, inner = GOLDEN_VGGISH[name]
    mel = mel_spectrogram(golden_signals()[name], VGGISH)
    assert mel.shape == (101, 64)
    assert [int(n) for n in np.unravel_index(mel.argmax(), mel.shape)] == [*where]
    np.testing.assert_allclose(
        [mel.mean(), mel.max(), mel[30, 10]], [mean, maximum, inner], rtol=0, atol=5e-4
    )


@both_front_ends
def test_equals_stored_essentia_on_music(front_end: FrontEnd) -> None:
    with np.load(DATA / "reference.npz") as reference:
        expected = reference[f"mel_{front_end.name}"]
    ours = mel_spectrogram(clip(), front_end)
    assert ours.shape == expected.shape
    np.testing.assert_allclose(ours, expected, rtol=0, atol=5e-4)


# Mistakes that models do not complain about
# ----------------------------------------------------------------


@both_front_ends
@pytest.mark.parametrize("name", ["chirp", "lcg"])
def test_a_periodic_window_would_be_noticed(front_end: FrontEnd, name: str) -> None:
    samples = float32(golden_signals()[name])
    mutant = plain_mel(samples, front_end.name, periodic=True)
    assert np.abs(mel_spectrogram(samples, front_end) - mutant).max() > 1e-3


@both_front_ends
def test_mirrored_padding_would_be_noticed_in_the_first_frame_only(front_end: FrontEnd) -> None:
    samples = float32(golden_signals()["lcg"])
    difference = np.abs(
        mel_spectrogram(samples, front_end) - plain_mel(samples, front_end.name, pad="reflect")
    )
    assert difference[0].max() > 0.1
    assert difference[3:].max() < 3e-5


@both_front_ends
def test_another_logarithm_or_power_would_be_noticed(front_end: FrontEnd) -> None:
    samples = float32(golden_signals()["lcg"])
    ours = mel_spectrogram(samples, front_end)
    other_log, other_power = (np.log, 1) if front_end is MUSICNN else (np.log10, 2)
    assert np.abs(ours - plain_mel(samples, front_end.name, log=other_log)).max() > 0.1
    assert np.abs(ours - plain_mel(samples, front_end.name, power=other_power)).max() > 0.1


# Frames: how many, and where
# -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "frames"),
    [
        (0, 0),
        (1, 2),
        (255, 2),
        (256, 2),
        (257, 3),
        (2560, 11),
        (2561, 12),
        (16000, 64),
        (480000, 1876),
    ],
)
def test_frame_counts_of_musicnn(samples: int, frames: int) -> None:
    assert MUSICNN.n_frames(samples) == frames
    assert mel_spectrogram(np.zeros(samples), MUSICNN).shape == (frames, 96)


@pytest.mark.parametrize(
    ("samples", "frames"), [(0, 0), (1, 2), (160, 2), (161, 3), (16000, 101), (480000, 3001)]
)
def test_frame_counts_of_vggish(samples: int, frames: int) -> None:
    assert VGGISH.n_frames(samples) == frames
    assert mel_spectrogram(np.zeros(samples), VGGISH).shape == (frames, 64)


@both_front_ends
def test_frames_are_centred(front_end: FrontEnd) -> None:
    # A click at t * hop is strongest in frame t, and reaches the frames whose window covers it.
    reach = (front_end.frame_size // 2 - 1) // front_end.hop_size
    for t in (0, 1, 7, 20):
        samples = np.zeros(20 * front_end.hop_size + 1)
        samples[t * front_end.hop_size] = 1
        mel = mel_spectrogram(samples, front_end)
        silence = MelKernel(front_end).silence
        touched = np.flatnonzero((mel != silence).any(axis=1))
        assert mel.mean(axis=1).argmax() == t
        assert touched.tolist() == [f for f in range(t - reach, t + reach + 1) if 0 <= f < len(mel)]


@both_front_ends
def test_last_frames_are_completed_with_zeros(front_end: FrontEnd) -> None:
    samples = float32(chord(5003))
    longer = np.concatenate([samples, np.zeros(4000, np.float32)])
    mel = mel_spectrogram(samples, front_end)
    np.testing.assert_array_equal(mel, mel_spectrogram(longer, front_end)[: len(mel)])


@both_front_ends
def test_rate_and_sizes(front_end: FrontEnd) -> None:
    assert front_end.rate == {"musicnn": Fraction(125, 2), "vggish": Fraction(100)}[front_end.name]
    assert front_end.padding == front_end.frame_size // 2
    assert front_end.n_samples(1) == front_end.frame_size
    assert front_end.n_samples(5) == front_end.frame_size + 4 * front_end.hop_size
    assert window(front_end).shape == (front_end.frame_size,)


def test_compression_reads_like_the_formula() -> None:
    assert MUSICNN.compression == "log10(1 + 10000 * x)"
    assert VGGISH.compression == "ln(0.01 + 1 * x)"


# The kernel
# ------------------------------------------------------------------------------------------------


def frames_of(kernel: MelKernel, samples: Float32, sizes: list[int]) -> Float32:
    """The frames of `samples`, as many at a time as `sizes` says."""
    front_end = kernel.front_end
    out = np.full((sum(sizes), front_end.n_mels), np.nan, np.float32)
    first = 0
    for n in sizes:
        begin = first * front_end.hop_size
        kernel(samples[begin : begin + front_end.n_samples(n)], out[first : first + n])
        first += n
    return out


@both_front_ends
def test_frames_do_not_depend_on_how_many_are_asked_for(front_end: FrontEnd) -> None:
    frames = 150
    samples = float32(chord(front_end.n_samples(frames)))
    whole = frames_of(MelKernel(front_end), samples, [frames])
    rng = np.random.default_rng(17)
    kernel = MelKernel(front_end)
    cuts = [[1] * frames, [3] * 50, [64, 64, 22], [7] * 21 + [3]]
    cuts += [
        np.diff([0, *np.sort(rng.choice(np.arange(1, frames), 12, replace=False)), frames]).tolist()
        for _ in range(10)
    ]
    for sizes in cuts:
        parts = frames_of(kernel, samples, sizes)
        assert parts.tobytes() == whole.tobytes(), sizes


@both_front_ends
def test_frames_do_not_depend_on_the_address(front_end: FrontEnd) -> None:
    # Every place within a 64-byte line, for the samples and for the output.
    samples = float32(chord(front_end.n_samples(3)))
    kernel = MelKernel(front_end)
    expected = frames_of(kernel, samples, [3])
    for shift in range(16):
        room = np.zeros(samples.size + 16, np.float32)
        room[shift : shift + samples.size] = samples
        target = np.empty(expected.size + 16, np.float32)
        out = target[shift : shift + expected.size].reshape(expected.shape)
        kernel(room[shift : shift + samples.size], out)
        assert out.tobytes() == expected.tobytes(), shift


@both_front_ends
def test_nothing_is_remembered_from_call_to_call(front_end: FrontEnd) -> None:
    kernel = MelKernel(front_end)
    samples = float32(chord(front_end.n_samples(4)))
    fresh = frames_of(MelKernel(front_end), samples, [4])
    wild = np.full(front_end.n_samples(2), np.nan, np.float32)
    wild[::3] = np.inf
    kernel(wild, np.empty((2, front_end.n_mels), np.float32))
    assert frames_of(kernel, samples, [4]).tobytes() == fresh.tobytes()


@both_front_ends
def test_a_sample_that_is_not_a_number_spoils_its_own_frames_only(front_end: FrontEnd) -> None:
    frames = 12
    samples = float32(chord(front_end.n_samples(frames)))
    clean = frames_of(MelKernel(front_end), samples, [frames])
    samples[5 * front_end.hop_size + 3] = np.nan
    spoilt = frames_of(MelKernel(front_end), samples, [frames])
    starts = np.arange(frames) * front_end.hop_size
    place = 5 * front_end.hop_size + 3
    clear = (place < starts) | (place >= starts + front_end.frame_size)
    assert spoilt[clear].tobytes() == clean[clear].tobytes()
    assert (spoilt[~clear] != clean[~clear]).any(axis=1).all()


def test_silence() -> None:
    assert MelKernel(MUSICNN).silence.tolist() == [0.0] * 96
    np.testing.assert_allclose(MelKernel(VGGISH).silence, math.log(0.01), rtol=1e-7)
    with pytest.raises(ValueError, match="read-only"):
        MelKernel(MUSICNN).silence[0] = 1


@both_front_ends
def test_read_only_samples_and_rows_of_a_larger_output(front_end: FrontEnd) -> None:
    kernel = MelKernel(front_end)
    samples = float32(chord(front_end.n_samples(6)))
    expected = frames_of(kernel, samples, [6])
    samples.flags.writeable = False
    ring = np.full((20, front_end.n_mels), 7, np.float32)
    kernel(samples, ring[9:15])
    assert ring[9:15].tobytes() == expected.tobytes()
    assert (ring[:9] == 7).all()
    assert (ring[15:] == 7).all()


@both_front_ends
def test_no_frames(front_end: FrontEnd) -> None:
    MelKernel(front_end)(np.empty(0, np.float32), np.empty((0, front_end.n_mels), np.float32))


@both_front_ends
@pytest.mark.parametrize(
    ("extra", "frames", "bands"),
    [(-1, 3, 0), (1, 3, 0), (0, 2, 0), (0, 4, 0), (0, 3, 4), (0, 0, 0)],
)
def test_sizes_that_do_not_fit(front_end: FrontEnd, extra: int, frames: int, bands: int) -> None:
    samples = np.zeros(front_end.n_samples(3) + extra, np.float32)
    out = np.full((frames, front_end.n_mels + bands), 7, np.float32)
    with pytest.raises(
        ValueError, match=rf"{front_end.name}.*{samples.size}.*{front_end.frame_size}"
    ):
        MelKernel(front_end)(samples, out)
    assert (out == 7).all()


def test_other_dtypes_and_layouts() -> None:
    kernel = MelKernel(MUSICNN)
    samples, out = np.zeros(512, np.float32), np.zeros((1, 96), np.float32)
    read_only = out.copy()
    read_only.flags.writeable = False
    wrongs: list[tuple[NDArray[Any], NDArray[Any]]] = [
        (samples.astype(np.float64), out),
        (np.zeros(1024, np.float32)[::2], out),
        (samples.reshape(1, 512), out),
        (samples, out.astype(np.float64)),
        (samples, out[0]),
        (samples, read_only),
        (samples, np.zeros((1, 192), np.float32)[:, ::2]),
    ]
    for wrong in wrongs:
        with pytest.raises(TypeError, match="contiguous float32"):
            kernel(*wrong)


def test_kernels_of_several_threads_do_not_disturb_each_other() -> None:
    samples = {
        front_end.name: float32(chord(front_end.n_samples(400)))
        for front_end in FRONT_ENDS.values()
    }
    expected = {
        name: frames_of(MelKernel(FRONT_ENDS[name]), samples[name], [400]) for name in samples
    }
    wrong = []
    barrier = threading.Barrier(4)

    def work(name: str) -> None:
        kernel = MelKernel(FRONT_ENDS[name])
        barrier.wait()
        for _ in range(50):
            if frames_of(kernel, samples[name], [100] * 4).tobytes() != expected[name].tobytes():
                wrong.append(name)

    threads = [
        threading.Thread(target=work, args=(name,))
        for name in ("musicnn", "vggish", "musicnn", "vggish")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


DIGEST = """
import hashlib
import numpy as np
from auricle.models.front_end import FRONT_ENDS
from auricle.nodes.signal import fft, mel
samples = np.random.default_rng(2).uniform(-1, 1, 5000).astype(np.float32)
mels = [mel.mel_spectrogram(samples, front_end).tobytes() for front_end in FRONT_ENDS.values()]
print(hashlib.sha256(b"".join(mels)).hexdigest(), sum(fft.mel_frames.stats.cache_hits.values()))
"""


@pytest.mark.slow
def test_first_run_and_later_runs_agree(tmp_path: Path) -> None:
    # The first compiles, the second takes the machine code from the cache.
    root = Path(__file__).parents[3]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", DIGEST]
    runs = [
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    (first, compiled), (second, loaded) = (run.stdout.split() for run in runs)
    assert (compiled, loaded) == ("0", "1")
    assert first == second


def test_no_call_compiles() -> None:
    kernel = MelKernel(MUSICNN)
    samples, out = np.zeros(512, np.float32), np.empty((1, 96), np.float32)
    kernel(samples, out)
    samples.flags.writeable = False
    kernel(samples, out)
    assert len(fft.mel_frames.signatures) == 1


def test_spectrogram_refuses_channels() -> None:
    with pytest.raises(ValueError, match=r"\(2, 100\)"):
        mel_spectrogram(np.zeros((2, 100)), MUSICNN)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frame_size": 511}, "frame_size=511"),
        ({"frame_size": 514}, "frame_size=514"),
        ({"hop_size": 0}, "hop_size=0"),
        ({"hop_size": 513}, "hop_size=513"),
        ({"n_mels": 0}, "n_mels=0"),
        ({"f_max": 8001.0}, "f_max=8001"),
        ({"offset": 0.0}, "offset=0"),
    ],
)
def test_front_end_checks_its_parts(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"musicnn.*{message}"):
        FrontEnd(**{**vars(MUSICNN), **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_fft": 1024}, "n_fft=1024"),
        ({"n_mels": 94}, "n_mels=94"),
        ({"n_mels": 4}, "n_mels=4 makes bands of"),
    ],
)
def test_front_end_that_the_kernel_has_no_room_for(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"musicnn.*{message}"):
        MelKernel(FrontEnd(**{**vars(MUSICNN), **change}))


# Side by side
# ----------------------------------------------------------------------------------------------


@both_front_ends
@pytest.mark.parametrize("name", ["noise", "chirp", "chord", "clip"])
def test_equals_essentia(front_end: FrontEnd, name: str) -> None:
    standard = pytest.importorskip(
        "essentia.standard",
        reason="Essentia, an AGPL development extra to compare with: pip install essentia",
        exc_type=ImportError,
    )
    signals: dict[str, NDArray[Any]] = {**probes(), "clip": clip()}
    samples = float32(signals[name])
    algorithm = {"musicnn": "TensorflowInputMusiCNN", "vggish": "TensorflowInputVGGish"}[
        front_end.name
    ]
    compute = getattr(standard, algorithm)()
    frames = standard.FrameGenerator(
        samples, frameSize=front_end.frame_size, hopSize=front_end.hop_size
    )
    theirs = np.array([compute(frame) for frame in frames])
    ours = mel_spectrogram(samples, front_end)
    assert ours.shape == theirs.shape
    exact = plain_mel(samples, front_end.name)
    error = np.abs(theirs - exact).max()
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=max(3e-4, 1.5 * error))
    assert np.abs(ours - exact).max() < 1.5 * error
