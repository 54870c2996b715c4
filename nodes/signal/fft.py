"""The compiled arithmetic of the mel front ends: a real FFT of 512 points, band sums, a logarithm.

Everything that numba compiles is in this one file, because numba's cache on disk looks at the file
of the outermost function only: a helper in another file could change and the old machine code would
still run.

Design. One frame is computed at a time, by the same instructions in the same order, whatever the
number of frames in the call; that makes the output of a frame independent of how the stream was
cut, bit for bit. The vector units are filled within the frame: nearly every loop below runs over
contiguous memory with a fixed number of steps, so that LLVM turns it into vector instructions. The
only freedom the compiler gets is to fuse a multiply and an add (`contract`); sums are never
reordered. Two machines may differ in the last bits, two calls cannot.

The transform. 512 real samples are read as 256 complex ones, z[n] = x[2n] + i x[2n+1]. Write n = 16
a + b and k = c + 16 d; then with wN = exp(-2 pi i / N)

    Z[c + 16 d] = sum_b w16^(bd) w256^(bc) sum_a w16^(ac) z[16 a + b]

which is sixteen FFTs of 16 points side by side, a twiddle, a transposition of the 16 x 16 matrix,
and sixteen FFTs of 16 points again (the "four-step" arrangement; C. Van Loan, Computational
Frameworks for the Fast Fourier Transform, SIAM 1992, section 3.3). Each FFT of 16 is 4 x 4 by the
same identity. The spectrum of the real signal follows from Z by the usual even/odd split (section
4.3 of the same book).

Complex buffers are split: real parts from 0, imaginary parts from `IM`, so that both load without
shuffling.
"""

import math
import threading
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from auricle.compiled import OPTIONS, compiled_and_kept

FloatArray = npt.NDArray[np.float32]
IndexArray = npt.NDArray[np.uint16]

N_FFT = 512  # the only size supported
N_BINS = N_FFT // 2 + 1
HALF = N_FFT // 2
# Where imaginary parts begin: after room for Z[256] = Z[0]. A multiple of 16 aligns both parts.
IM = HALF + 16
BUFFER = 2 * IM
WORK_SIZE = 4 * BUFFER  # float32 words of scratch for one transform
PADDED_BINS = N_BINS + 31  # the band sums read as far as this; beyond N_BINS there are zeros
BAND_GROUP = 4  # bands summed side by side

# The dispatchers that numba returns, and the float32 scalars and tuples that pass between compiled
# functions, have no types that mypy knows.
Compiled = Any
Scalar = Any
Scalars = Any


def _compiled(function: Callable[..., Any]) -> Compiled:
    """Compile a helper into each function that calls it.

    A helper that was compiled separately would exist twice, alone and in the file of its caller.
    Which of the two the caller finds depends on whether it was just compiled or came from the
    cache, and their last bits differ.
    """
    return numba.njit(forceinline=True, **OPTIONS)(function)


def _generated(function: Callable[..., Any]) -> Compiled:
    """Make a compiled function out of one that emits its instructions."""
    return numba.extending.intrinsic(function)


def _split(values: npt.NDArray[np.complex128]) -> FloatArray:
    """Lay out complex values (<= 256,) as a float32 buffer of split parts."""
    buffer = np.zeros(BUFFER, dtype=np.float32)
    buffer[: values.size] = values.real
    buffer[IM : IM + values.size] = values.imag
    return buffer


# numba copies module arrays into the machine code as constants.
_INDEX = np.arange(HALF)
_TWIDDLE = _split(np.exp(-2j * np.pi * (_INDEX // 16) * (_INDEX % 16) / HALF))
_NO_TWIDDLE = _split(np.ones(HALF, dtype=np.complex128))
_UNPACK = _split(np.exp(-2j * np.pi * _INDEX / N_FFT))

# float32 constants: a Python float would turn float32 arithmetic into float64.
_C = np.float32(math.cos(math.pi / 8))
_S = np.float32(math.sin(math.pi / 8))
_R = np.float32(math.sqrt(0.5))
_HALF_F = np.float32(0.5)
_ZERO = np.float32(0)
_ONE = np.float32(1)
_TWO = np.float32(2)


# ---------------------------------------------------------------------------------------------
# FFT


@_compiled
def _fft4(
    ar: Scalar, ai: Scalar, br: Scalar, bi: Scalar, cr: Scalar, ci: Scalar, dr: Scalar, di: Scalar
) -> Scalars:
    """FFT of 4 complex numbers, given and returned as re, im, re, im, ..."""
    pr, pi, mr, mi = ar + cr, ai + ci, ar - cr, ai - ci
    qr, qi, nr, ni = br + dr, bi + di, br - dr, bi - di
    return pr + qr, pi + qi, mr + ni, mi - nr, pr - qr, pi - qi, mr - ni, mi + nr


@_compiled
def _times(ar: Scalar, ai: Scalar, br: Scalar, bi: Scalar) -> Scalars:
    """Complex product."""
    return ar * br - ai * bi, ar * bi + ai * br


@_compiled
def _load4(z: FloatArray, i: int) -> Scalars:
    """Elements i, i + 64, i + 128 and i + 192, as re, im, re, im, ..."""
    j = IM + i
    return z[i], z[j], z[64 + i], z[64 + j], z[128 + i], z[128 + j], z[192 + i], z[192 + j]


@_compiled
def _store4(y: FloatArray, i: int, w: FloatArray, four: Scalars) -> None:
    """Put four numbers, times the twiddles of their places, at i, i + 64, i + 128 and i + 192."""
    y[i], y[IM + i] = _times(four[0], four[1], w[i], w[IM + i])
    y[64 + i], y[IM + 64 + i] = _times(four[2], four[3], w[64 + i], w[IM + 64 + i])
    y[128 + i], y[IM + 128 + i] = _times(four[4], four[5], w[128 + i], w[IM + 128 + i])
    y[192 + i], y[IM + 192 + i] = _times(four[6], four[7], w[192 + i], w[IM + 192 + i])


@_compiled
def _fft16_columns(z: FloatArray, y: FloatArray, w: FloatArray) -> None:
    """FFT of 16 points down each column of the matrix z, times w elementwise, into y; all (16, 16).

    The loop runs over columns: sixteen of them fill one 512-bit register. With a = 4 p + q and
    c = r + 4 s, the inner FFTs run over p, are turned by w16^(qr), and the outer ones run over q.
    The letters a to d in the names are q = 0 to 3, the digits r.
    """
    for i in range(16):
        a0r, a0i, a1r, a1i, a2r, a2i, a3r, a3i = _fft4(*_load4(z, i))
        b0r, b0i, b1r, b1i, b2r, b2i, b3r, b3i = _fft4(*_load4(z, 16 + i))
        c0r, c0i, c1r, c1i, c2r, c2i, c3r, c3i = _fft4(*_load4(z, 32 + i))
        d0r, d0i, d1r, d1i, d2r, d2i, d3r, d3i = _fft4(*_load4(z, 48 + i))
        b1r, b1i = _times(b1r, b1i, _C, -_S)
        b2r, b2i = _times(b2r, b2i, _R, -_R)
        b3r, b3i = _times(b3r, b3i, _S, -_C)
        c1r, c1i = _times(c1r, c1i, _R, -_R)
        c2r, c2i = c2i, -c2r
        c3r, c3i = _times(c3r, c3i, -_R, -_R)
        d1r, d1i = _times(d1r, d1i, _S, -_C)
        d2r, d2i = _times(d2r, d2i, -_R, -_R)
        d3r, d3i = _times(d3r, d3i, -_C, _S)
        _store4(y, i, w, _fft4(a0r, a0i, b0r, b0i, c0r, c0i, d0r, d0i))
        _store4(y, 16 + i, w, _fft4(a1r, a1i, b1r, b1i, c1r, c1i, d1r, d1i))
        _store4(y, 32 + i, w, _fft4(a2r, a2i, b2r, b2i, c2r, c2i, d2r, d2i))
        _store4(y, 48 + i, w, _fft4(a3r, a3i, b3r, b3i, c3r, c3i, d3r, d3i))


@_compiled
def _interleave4(z: FloatArray, y: FloatArray) -> None:
    """y[4 i + j] = z[64 j + i]: rotates the 8 bits of the index by two places.

    Done twice, it transposes a matrix (16, 16). Element by element the transposition would cost
    twice as much as both passes of FFTs; in this form it becomes register shuffles.
    """
    for i in range(64):
        y[4 * i] = z[i]
        y[4 * i + 1] = z[64 + i]
        y[4 * i + 2] = z[128 + i]
        y[4 * i + 3] = z[192 + i]
    for i in range(64):
        y[IM + 4 * i] = z[IM + i]
        y[IM + 4 * i + 1] = z[IM + 64 + i]
        y[IM + 4 * i + 2] = z[IM + 128 + i]
        y[IM + 4 * i + 3] = z[IM + 192 + i]


@_compiled
def _unpack(z: FloatArray, x: FloatArray) -> None:
    """From Z, the FFT of 256 packed numbers, to bins 0 to 256 of twice the real signal's spectrum.

    X[k] = (Z[k] + Z*[256 - k]) - i w512^k (Z[k] - Z*[256 - k]). Writing X[256 - k] from the same
    terms would halve the work, but stores that run downwards beside others that run upwards do not
    vectorise, and take four times as long.
    """
    z[HALF] = z[0]
    z[IM + HALF] = z[IM]
    for k in range(HALF):
        er = z[k] + z[HALF - k]
        ei = z[IM + k] - z[IM + HALF - k]
        odd_r = z[IM + k] + z[IM + HALF - k]
        odd_i = z[HALF - k] - z[k]
        tr, ti = _times(odd_r, odd_i, _UNPACK[k], _UNPACK[IM + k])
        x[k] = er + tr
        x[IM + k] = ei + ti
    x[HALF] = _TWO * (z[0] - z[IM])
    x[IM + HALF] = _ZERO


@_compiled
def transform(packed: FloatArray, work: FloatArray) -> FloatArray:
    """Spectrum of 512 real numbers.

    Args:
        packed: Samples times 0.5, shape (BUFFER,), float32: the even ones from 0, the odd ones from
            `IM`. Not changed. (Halved because the unpacking adds pairs; the caller has a window to
            put the factor into.)
        work: Scratch memory, shape (>= 3 * BUFFER,), float32.

    Returns:
        The view of `work` that holds the spectrum: bins 0 to 256, real parts from 0, imaginary
        parts from `IM`.
    """
    y = work[:BUFFER]
    z = work[BUFFER : 2 * BUFFER]
    x = work[2 * BUFFER : 3 * BUFFER]
    _fft16_columns(packed, y, _TWIDDLE)
    _interleave4(y, z)
    _interleave4(z, y)
    # The second pass needs no twiddle, but a second function without it would cost more to compile
    # than the products do to run.
    _fft16_columns(y, z, _NO_TWIDDLE)
    _unpack(z, x)
    return x


@compiled_and_kept
def _rfft(samples: FloatArray, packed: FloatArray, work: FloatArray) -> FloatArray:
    for i in range(HALF):
        packed[i] = samples[2 * i] * _HALF_F
        packed[IM + i] = samples[2 * i + 1] * _HALF_F
    x: FloatArray = transform(packed, work)
    return x


def rfft(samples: FloatArray) -> npt.NDArray[np.complex64]:
    """Spectrum of 512 real samples: the transform of the front ends on its own, for checks.

    Args:
        samples: Shape (512,), float32.

    Returns:
        Bins 0 to 256, shape (257,), complex64, unnormalised, like `numpy.fft.rfft`.

    Raises:
        ValueError: Another shape.
    """
    if samples.shape != (N_FFT,):
        raise ValueError(f"samples of shape {samples.shape}: the transform takes ({N_FFT},)")
    frame = np.ascontiguousarray(samples, dtype=np.float32)
    x: FloatArray = _rfft(frame, np.zeros(BUFFER, np.float32), np.zeros(WORK_SIZE, np.float32))
    spectrum = np.empty(N_BINS, dtype=np.complex64)
    spectrum.real = x[:N_BINS]
    spectrum.imag = x[IM : IM + N_BINS]
    return spectrum


# ---------------------------------------------------------------------------------------------
# Logarithm


@_generated
def _bits_of(typing_context: Any, value: Any) -> Any:
    """The 32 bits of a float32 as an int32, without a conversion."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(signature.return_type))

    return numba.types.int32(numba.types.float32), generate


@_generated
def _float_of(typing_context: Any, value: Any) -> Any:
    """The float32 that has these 32 bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(signature.return_type))

    return numba.types.float32(numba.types.int32), generate


_MANTISSA_BITS = np.int32(23)
# The bits of sqrt(1/2), so that the mantissa lies in [sqrt(1/2), sqrt(2)).
_ROOT_HALF_BITS = np.int32(0x3F3504F3)
# ln 2 in two parts; the first has 9 significant bits, so that its product with an exponent is
# exact.
_LN2_HIGH = np.float32(0.693359375)
_LN2_LOW = np.float32(math.log(2) - 0.693359375)
_ATANH3, _ATANH5, _ATANH7, _ATANH9 = (np.float32(2 / n) for n in (3, 5, 7, 9))


@_compiled
def ln(y: Scalar) -> Scalar:
    """Natural logarithm of a positive, normal, finite float32.

    With y = 2^e m: ln y = e ln 2 + 2 atanh(s), s = (m - 1) / (m + 1), |s| < 0.172, and the series
    of atanh up to s^9 (the first term left out is below 1e-9). The error is below 1.2e-7 relative
    to max(1, |ln y|); ln 1 is 0 exactly. The C library's function does not vectorise here: 96 calls
    take 370 ns, these 20 ns. Zero, negative numbers, infinities and NaN give finite nonsense.
    """
    bits = _bits_of(y)
    exponent = np.int32(np.int32(bits - _ROOT_HALF_BITS) >> _MANTISSA_BITS)
    m = _float_of(np.int32(bits - np.int32(exponent << _MANTISSA_BITS)))
    f = m - _ONE
    s = f / (_TWO + f)
    q = s * s
    e = np.float32(exponent)
    series = s * (_TWO + q * (_ATANH3 + q * (_ATANH5 + q * (_ATANH7 + q * _ATANH9))))
    return e * _LN2_HIGH + (series + e * _LN2_LOW)


# ---------------------------------------------------------------------------------------------
# Frames


@_compiled
def _band_sums(
    spectrum: FloatArray, taps: FloatArray, starts: IndexArray, ends: IndexArray, bands: FloatArray
) -> None:
    """bands[b] = sum over t of taps[.., t, b] * spectrum[starts[b] + t], four bands at a time.

    A band alone is one chain of dependent additions; four side by side keep the adders busy.
    """
    for group in range(ends.size - 1):
        first = BAND_GROUP * group
        s0, s1, s2, s3 = _ZERO, _ZERO, _ZERO, _ZERO
        i0, i1, i2, i3 = starts[first], starts[first + 1], starts[first + 2], starts[first + 3]
        for t in range(ends[group + 1] - ends[group]):
            tap = BAND_GROUP * (ends[group] + t)
            s0 += taps[tap] * spectrum[i0 + t]
            s1 += taps[tap + 1] * spectrum[i1 + t]
            s2 += taps[tap + 2] * spectrum[i2 + t]
            s3 += taps[tap + 3] * spectrum[i3 + t]
        bands[first] = s0
        bands[first + 1] = s1
        bands[first + 2] = s2
        bands[first + 3] = s3


@compiled_and_kept
def mel_frames(
    samples: FloatArray,
    out: FloatArray,
    window: FloatArray,
    taps: FloatArray,
    starts: IndexArray,
    ends: IndexArray,
    work: FloatArray,
    hop_size: int,
    magnitude: bool,
    offset: np.float32,
    scale: np.float32,
) -> bool:
    """All mel frames of a stretch of samples; call it by `auricle.nodes.signal.mel.MelKernel`.

    The indices are unsigned: numba then omits the test for negative ones, which took a quarter of
    the time of the band sums.

    Args:
        samples: Samples, shape (frame_size + (frames - 1) * hop_size,), float32; frame t starts at
            sample t * hop_size.
        out: Written: scale * ln(offset + band sum), shape (frames, n_mels), float32.
        window: Analysis window times 0.5 (see `transform`), shape (frame_size,), float32;
            frame_size is even and at most 512.
        taps: Weights of the bands, float32, as laid out by `auricle.nodes.signal.mel`.
        starts: First bin of each band, shape (n_mels,), uint16.
        ends: Bounds of the taps of each group of four bands, shape (n_mels / 4 + 1,), uint16.
        work: Scratch memory, shape (mel_work_size(n_mels),), float32; zero before the first call.
        hop_size: Samples from one frame to the next.
        magnitude: Whether bands sum |X| instead of |X|^2.
        offset: Summand before the logarithm, float32.
        scale: Factor of the logarithm, float32.

    Returns:
        Whether the sizes fit each other; if they do not, nothing is written.
    """
    frames, n_mels = out.shape
    frame_size = window.size
    needed = frame_size + (frames - 1) * hop_size if frames else 0
    if samples.size != needed or n_mels != starts.size:
        return False
    transform_work = work[: 3 * BUFFER]
    packed = work[3 * BUFFER : 4 * BUFFER]  # zero beyond frame_size, from the start
    spectrum = work[WORK_SIZE : WORK_SIZE + PADDED_BINS]  # zero beyond N_BINS, from the start
    bands = work[WORK_SIZE + PADDED_BINS :]
    for t in range(frames):
        frame = samples[t * hop_size : t * hop_size + frame_size]
        row = out[t]
        for i in range(frame_size // 2):
            packed[i] = frame[2 * i] * window[2 * i]
            packed[IM + i] = frame[2 * i + 1] * window[2 * i + 1]
        x = transform(packed, transform_work)
        for k in range(N_BINS):
            spectrum[k] = x[k] * x[k] + x[IM + k] * x[IM + k]
        if magnitude:
            for k in range(N_BINS):
                spectrum[k] = math.sqrt(spectrum[k])
        _band_sums(spectrum, taps, starts, ends, bands)
        for b in range(n_mels):
            row[b] = scale * ln(offset + bands[b])
    return True


def mel_work_size(n_mels: int) -> int:
    """Number of float32 values of scratch memory that `mel_frames` needs."""
    return WORK_SIZE + PADDED_BINS + n_mels


def _signature() -> tuple[Any, ...]:
    types = numba.types
    samples = types.Array(types.float32, 1, "C", readonly=True)  # writable arrays are accepted too
    vector, indices = types.float32[::1], types.uint16[::1]
    return (
        samples, types.float32[:, ::1], vector, vector, indices, indices, vector,
        types.intp, types.boolean, types.float32, types.float32,
    )  # fmt: skip


_preparing = threading.Lock()


def prepare() -> None:
    """Compile `mel_frames`, or load it from the cache, so that no audio waits for the compiler.

    After that, arguments of any other type raise TypeError. Callable from any thread.
    """
    dispatcher: Any = mel_frames
    with _preparing:
        if not dispatcher.signatures:
            dispatcher.compile(_signature())
            dispatcher.disable_compile()
