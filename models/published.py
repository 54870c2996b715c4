"""The models that Essentia's site publishes as ONNX, each with a JSON file, by our names for them.

A table and nothing else: another model is another line. Models that Auricle cannot run are left
out:

- Backbones with a fixed batch of 64 and the heads on them, and the genre heads on MAEST, which take
  all tokens of its last block and repeat MAEST's own output.
- `audioset-vggish` and the heads on it. Its JSON says 96 frames of 64 bands, its ONNX file takes 64
  x 96, and programs that run it disagree whether values have to be transposed or only reshaped.
- OpenL3 and the heads on it: it takes 128 bands at 48 kHz, a front end that Auricle does not have.

Also left out are models for which we found no evidence of a published ONNX file (`moods_mirex`,
some tasks on `msd-musicnn` and `audioset-yamnet`) or of anyone having run it
(`fs_loop_ds-msd-musicnn`, which is larger than a head of its kind), and first versions where there
are second ones. `genre_discogs400-discogs-effnet` is published without ONNX; its 400 styles are the
activations of `discogs-effnet`.

Essentia publishes no hashes. Those here are hashes of ONNX files that two or more projects,
independent of each other and of us, have pinned. The other files are trusted on first use: see
`auricle.models.convert.essentia`.
"""

from dataclasses import dataclass
from typing import Final

from auricle.models.card import FrontEndSpec

BASE_URL: Final = "https://essentia.upf.edu/models"
LICENCE: Final = "CC BY-NC-SA 4.0 (https://creativecommons.org/licenses/by-nc-sa/4.0/)"


MUSICNN_FRONT_END: Final = FrontEndSpec.of("musicnn")
"""Input of MusiCNN and EffNet: frames without normalisation."""

MAEST_FRONT_END: Final = FrontEndSpec.of("musicnn", 2.06755686098554, 2 * 1.268292820667291)
"""Input of MAEST. Its code divides by twice the deviation, and so does every program that runs
it."""

VGGISH_FRONT_END: Final = FrontEndSpec.of("vggish")
"""Input of YAMNet in Essentia, which its heads were trained on. YAMNet itself was trained with an
offset of 0.001 instead of 0.01."""


@dataclass(frozen=True, slots=True)
class Segments:
    """Fields of a backbone's card beyond Essentia's JSON.

    Attributes:
        size: Frames of a segment.
        hop_size: Frames from one segment to the next.
        front_end: Front end, with the normalisation.
    """

    size: int
    hop_size: int
    front_end: FrontEndSpec = MUSICNN_FRONT_END


MUSICNN_SEGMENTS: Final = Segments(187, 93)
"""Segments of MusiCNN: 3 s, overlapping by half, as Essentia's `patchSize` and `patchHopSize`."""


@dataclass(frozen=True, slots=True)
class Published:
    """One model of the site.

    Attributes:
        name: Our name for it, without the version.
        path: Path below the base address, without the endings `.onnx` and `.json`.
        size_mb: Approximate size of the ONNX file, in 1e6 bytes.
        description: Description in one line.
        segments: Segments of a backbone; None for a head.
        sha256: Hash of the ONNX file; None if it is unknown.
    """

    name: str
    path: str
    size_mb: float
    description: str
    segments: Segments | None = None
    sha256: str | None = None


def _maest(kind: str, size: int, hop_size: int, classes: int = 400) -> Published:
    name = f"discogs-maest-{kind}"
    return Published(
        name,
        f"feature-extractors/maest/{name}-2",
        348,
        f"MAEST transformer, {classes} music styles, segments of {hop_size * 0.016:.0f} s",
        Segments(size, hop_size, MAEST_FRONT_END),
    )


def _head(
    task: str,
    size_mb: float,
    description: str,
    sha256: str | None = None,
    folder: str | None = None,
    backbone: str = "discogs-effnet",
    version: int = 1,
) -> Published:
    name = f"{task}-{backbone}"
    path = f"classification-heads/{folder or task}/{name}-{version}"
    return Published(name, path, size_mb, description, None, sha256)


# Segments and hops are those of Essentia's own algorithms for these models.
_EFFNET: Final = Published(
    "discogs-effnet",
    "feature-extractors/discogs-effnet/discogs-effnet-bsdynamic-1",
    18,
    "EfficientNet, 400 music styles, segments of 2 s",
    Segments(128, 62),
    "a280825b334797cf677939db8cd5762c0392aedd0ca6415dbc1cd083f045e43c",
)
_MUSICNN: Final = Published(
    "msd-musicnn",
    "feature-extractors/musicnn/msd-musicnn-1",
    3.2,
    "MusiCNN, 50 tags of the Million Song Dataset, segments of 3 s",
    MUSICNN_SEGMENTS,
    "49668ffec47e52e94b96f45930bb46a28a1368d4bdfb5c05378fa834aca616e1",
)
_YAMNET: Final = Published(
    "audioset-yamnet",
    "audio-event-recognition/yamnet/audioset-yamnet-1",
    15,
    "YAMNet, 521 sounds of AudioSet, segments of 1 s",
    Segments(96, 93, VGGISH_FRONT_END),
)
# fmt: off
_MAEST: Final = (
    _maest("5s-pw", 316, 313),
    _maest("10s-pw", 626, 625),
    _maest("10s-fs", 626, 625),
    _maest("10s-dw", 626, 625),
    _maest("20s-pw", 1256, 1250),
    _maest("30s-pw", 1876, 1875),
    _maest("30s-pw-ts", 1876, 1875),
    _maest("30s-pw-519l", 1876, 1875, classes=519),
)
_HEADS: Final = (
    _head("approachability_2c", 0.5, "approachability, 2 levels", folder="approachability"),
    _head("approachability_3c", 0.5, "approachability, 3 levels", folder="approachability"),
    _head("approachability_regression", 0.5, "approachability, a value", folder="approachability"),
    _head("danceability", 0.5, "danceable or not",
          "9ce9b8c44f1dd5df5ffc124e5d41d67acf254232c1b90c7e057e079ab7cead73"),
    _head("engagement_2c", 0.5, "engagement, 2 levels", folder="engagement"),
    _head("engagement_3c", 0.5, "engagement, 3 levels", folder="engagement"),
    _head("engagement_regression", 0.5, "engagement, a value", folder="engagement"),
    _head("fma_small", 2.6, "8 genres of the FMA"),
    _head("gender", 0.5, "female or male singing voice",
          "e3e865d4bf36d4817f32ddab9452b2729f9e33a4d068d1c44ea44972a7999e91"),
    _head("genre_dortmund", 0.5, "9 genres"),
    _head("genre_electronic", 0.5, "5 genres of electronic music"),
    _head("genre_rosamerica", 0.5, "8 genres"),
    _head("genre_tzanetakis", 0.5, "10 genres of GTZAN"),
    _head("mood_acoustic", 0.5, "acoustic or not"),
    _head("mood_aggressive", 0.5, "aggressive or not",
          "de36550b5d1660791ad732ed6de6ebfdc3e65dcf50b928b2578ddf103dbfb400"),
    _head("mood_electronic", 0.5, "electronic or not"),
    _head("mood_happy", 0.5, "happy or not",
          "0ca322819ef137b4b87e9866bffe7370a630e6f1165184ec106326cef6f81e06"),
    _head("mood_party", 0.5, "party or not",
          "c50ac2106ec2f209dd04ad48756582df0e3f3512235310d1a4a3fcc453745f04"),
    _head("mood_relaxed", 0.5, "relaxed or not",
          "8ba6515a1e5943a72b3b475e3a25fc7a2ff04142c3eaa6aa0716fca371efdfff"),
    _head("mood_sad", 0.5, "sad or not",
          "1a50d11c23181bdfdeabc7d6032a2dad829dfc19c3776d2ee57ef1724cb08805"),
    _head("mtg_jamendo_genre", 2.8, "87 genres of MTG-Jamendo"),
    _head("mtg_jamendo_instrument", 2.7, "40 instruments of MTG-Jamendo",
          "9ae2d9e763d66bd8eed654d1ac3aa171e6539cb8a0e11f3dcd53df1428980802"),
    _head("mtg_jamendo_moodtheme", 2.7, "56 moods and themes of MTG-Jamendo",
          "7d6270acaa5f4bba4b115a0d6849aca05ed6bd153dcb6d9da4f6ab9f99ef10ff"),
    _head("mtg_jamendo_top50tags", 2.7, "50 most frequent tags of MTG-Jamendo"),
    _head("mtt", 2.7, "50 tags of MagnaTagATune"),
    _head("nsynth_acoustic_electronic", 0.5, "acoustic or electronic source"),
    _head("nsynth_bright_dark", 0.5, "bright or dark sound"),
    _head("nsynth_instrument", 0.5, "11 families of instruments"),
    _head("nsynth_reverb", 0.5, "wet or dry sound"),
    _head("timbre", 0.5, "bright or dark timbre"),
    _head("tonal_atonal", 0.5, "tonal or atonal"),
    _head("voice_instrumental", 0.5, "voice or instrumental",
          "20155e4c439714b0c45c08644b73c8e12d9dccb173bd4ab9934bf1e5aee837ca"),
)
# fmt: on
_ABOUT: Final = {head.name.removesuffix("-discogs-effnet"): head.description for head in _HEADS}


def _same_tasks(backbone: str, size_mb: float, *tasks: str) -> tuple[Published, ...]:
    """Heads on another backbone for tasks that have a head on EffNet."""
    return tuple(_head(task, size_mb, _ABOUT[task], backbone=backbone) for task in tasks)


_TASKS: Final = (
    "danceability",
    "gender",
    "genre_dortmund",
    "genre_rosamerica",
    "genre_tzanetakis",
    "mood_acoustic",
    "mood_happy",
    "mood_relaxed",
    "tonal_atonal",
    "voice_instrumental",
)
_MORE_MOODS: Final = ("mood_aggressive", "mood_electronic", "mood_party", "mood_sad")
# fmt: off
_HEADS_ON_MUSICNN: Final = (
    *_same_tasks("msd-musicnn", 0.1, *_TASKS, *_MORE_MOODS),
    _head("deam", 0.1, "valence and arousal, from DEAM",
          "2cb8f33f188d73fcb651f7c065b049959166c7852f454a59c13e66fe2c092bde",
          backbone="msd-musicnn", version=2),
    _head("emomusic", 0.1, "valence and arousal, from emoMusic", backbone="msd-musicnn", version=2),
    _head("muse", 0.1, "valence and arousal, from MuSe", backbone="msd-musicnn", version=2),
)
# fmt: on
_HEADS_ON_YAMNET: Final = _same_tasks("audioset-yamnet", 0.4, *_TASKS)

_ALL: Final = (_EFFNET, *_MAEST, _MUSICNN, _YAMNET, *_HEADS, *_HEADS_ON_MUSICNN, *_HEADS_ON_YAMNET)
PUBLISHED: Final = {model.name: model for model in _ALL}
