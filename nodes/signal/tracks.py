"""Which of the tracks of a file or stream is heard; the others are not even read."""

from __future__ import annotations

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Discard, Disposition

from auricle.errors import InputError


def choose_track(container: InputContainer, place: str, number: int | None = None) -> AudioStream:
    """The audio track to hear; has FFmpeg pass over everything else.

    Of HLS, FFmpeg then fetches only the playlist that the track is in.

    Args:
        container: Source that is open.
        place: Its name, for errors.
        number: Number of the track among those of audio, from 1; by default the one that the source
            declares the default, or else the best that HLS offers, or else the first.

    Raises:
        InputError: There is no such track, or none that FFmpeg decodes.
    """
    usable = _usable(container, place, number)
    defaults = [stream for stream in usable if stream.disposition & Disposition.default]
    chosen = (defaults or [_best_variant(container, usable)])[0]
    for stream in container.streams:
        if stream.index != chosen.index:
            stream.discard = Discard.all
    return chosen


def _usable(container: InputContainer, place: str, number: int | None) -> list[AudioStream]:
    """The audio tracks that FFmpeg decodes, or the one of a number.

    Raises:
        InputError: There is none.
    """
    found = list(container.streams.audio)
    if not found:
        kinds = sorted({stream.type for stream in container.streams})
        raise InputError(
            f"{place}: no audio in it, only {' and '.join(kinds) or 'nothing that is known'}"
        )
    if number is not None and number > len(found):
        tracks = "1 track" if len(found) == 1 else f"{len(found)} tracks"
        raise InputError(f"{place}: no audio track {number}; it has {tracks}")
    candidates = found if number is None else [found[number - 1]]
    # PyAV gives no context to a stream whose codec FFmpeg does not know.
    usable = [stream for stream in candidates if stream.codec_context is not None]
    if not usable:
        raise InputError(f"{place}: FFmpeg has no decoder for its audio")
    return usable


def _best_variant(container: InputContainer, usable: list[AudioStream]) -> AudioStream:
    """Of the variants of HLS the one of the highest rate, without a picture if there is one."""
    with_picture = {_rate(stream.metadata) for stream in container.streams.video}
    return max(
        usable,
        key=lambda each: (_rate(each.metadata) not in with_picture, _rate(each.metadata)),
    )


def _rate(metadata: dict[str, str]) -> int:
    """Bits per second of a variant; 0 for what is not of HLS."""
    rate = metadata.get("variant_bitrate", "")
    return int(rate) if rate.isdecimal() else 0
