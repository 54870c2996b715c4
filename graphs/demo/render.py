"""Render `demo.ogg`: four bars of Bach in three styles, which a live tagger should notice.

Score: Johann Sebastian Bach, Prelude in C major, BWV 846, bars 1 to 4 (1722, public domain; the
notes below were written out from the score, the two later arrangements are ours). Scene 1 (0 to
8.64 s) is a piano alone, scene 2 (to 17.28 s) a string orchestra with a choir, scene 3 (to the end)
techno.

Sound: FluidR3_GM.sf2 of Frank Wen and others, MIT licence (see LICENSE.md beside this file).

Debian packages: fluidsynth, fluid-soundfont-gm, ffmpeg. Python: the standard library only. Run it
with

    python graphs/demo/render.py [OUTPUT.ogg]

The same versions of the packages give the same bytes; demo.ogg was made with fluidsynth 2.3.1,
fluid-soundfont-gm 3.1 and ffmpeg 5.1.9 of Debian 12.
"""

import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

SOUND_FONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
DURATION_S = 26.0
TICKS_PER_QUARTER = 500  # at MIDI's default of 120 quarters a minute: one tick is one millisecond

# Bars 1 to 4, each one chord of five voices from the bass up (MIDI keys, 60 = middle C).
BARS = [
    (60, 64, 67, 72, 76),  # C major
    (60, 62, 69, 74, 77),  # D minor seventh over C
    (59, 62, 67, 74, 77),  # G dominant seventh over B
    (60, 64, 67, 72, 76),  # C major
]
BASS_LINE = (36, 38, 31, 36)  # the roots of the four chords
FIGURE = (0, 1, 2, 3, 4, 2, 3, 4)  # the voices in the order in which Bach breaks the chord

PIANO, STRINGS, VIOLIN, CELLO, CHOIR, BASS, LEAD, DRUMS = 0, 1, 2, 3, 4, 5, 6, 9
CHANNELS = {  # General MIDI program counted from 0, then volume, pan and reverb of 0 to 127
    PIANO: (0, 118, 64, 50),
    STRINGS: (48, 100, 50, 80),
    VIOLIN: (40, 100, 76, 80),
    CELLO: (42, 100, 44, 70),
    CHOIR: (52, 90, 64, 90),
    BASS: (38, 110, 64, 0),
    LEAD: (81, 70, 64, 40),
    DRUMS: (0, 127, 64, 15),
}
KICK, SNARE, CLOSED_HAT, OPEN_HAT, CRASH = 36, 38, 42, 46, 49


@dataclass(frozen=True)
class Note:
    """A note of the score.

    Attributes:
        start: Start in ms.
        length: Length in ms.
        channel: MIDI channel, from 0.
        key: MIDI key; 60 is middle C.
        velocity: MIDI velocity, from 1 to 127.
    """

    start: int
    length: int
    channel: int
    key: int
    velocity: int


def piano(start: int, bar: int) -> list[Note]:
    """Scene 1: the figure once a bar, bass and tenor held, the bass doubled an octave below."""
    step = bar // len(FIGURE)
    notes = []
    for i, chord in enumerate(BARS):
        at = start + i * bar
        notes.append(Note(at, bar, PIANO, chord[0] - 12, 110))
        for j, voice in enumerate(FIGURE):
            held = (len(FIGURE) - j) * step if voice < 2 else step + 60
            notes.append(Note(at + j * step, held, PIANO, chord[voice], 112 - 3 * (j % 4)))
    return notes


def strings(start: int, bar: int) -> list[Note]:
    """Scene 2: chords held by strings and a growing choir, violin on top, cello on the bass."""
    notes = []
    for i, chord in enumerate(BARS):
        at, half = start + i * bar, bar // 2
        notes += [Note(at, bar - 20, STRINGS, key - 12, 64) for key in chord]
        notes += [Note(at, bar - 20, CHOIR, key, 40 + 15 * i) for key in chord[1:4]]
        notes.append(Note(at, bar - 20, CELLO, chord[0] - 12, 100))
        notes.append(Note(at, half, VIOLIN, chord[4], 112))
        notes.append(Note(at + half, half - 20, VIOLIN, chord[4] + 12, 104))
    return notes


def techno(start: int, bar: int) -> list[Note]:
    """Scene 3: drums, a bass in sixteenths, a lead with the figure twice a bar, and a last beat."""
    step = bar // 16
    notes = [Note(start, step, DRUMS, CRASH, 120)]
    for i, chord in enumerate(BARS):
        at = start + i * bar
        notes += drums(at, step)
        for j in range(16):
            notes.append(Note(at + j * step, step - 15, BASS, BASS_LINE[i], 112))
            notes.append(Note(at + j * step, step - 5, LEAD, chord[FIGURE[j % 8]] + 12, 88))
    at = start + len(BARS) * bar
    notes += [Note(at, 4 * step, DRUMS, key, 127) for key in (KICK, SNARE, CRASH)]
    return [*notes, Note(at, 4 * step, BASS, BASS_LINE[0], 112), Note(at, 4 * step, LEAD, 84, 88)]


def drums(at: int, step: int) -> list[Note]:
    """One bar: kick on the quarters, snare on two and four, open hat off the beat, closed hat."""
    kicks = [Note(at + j * step, step, DRUMS, KICK, 127) for j in (0, 4, 8, 12)]
    snares = [Note(at + j * step, step, DRUMS, SNARE, 124) for j in (4, 12)]
    open_hats = [Note(at + j * step, step, DRUMS, OPEN_HAT, 100) for j in (2, 6, 10, 14)]
    closed_hats = [
        Note(at + j * step, step, DRUMS, CLOSED_HAT, 70 if j % 2 else 100) for j in range(16)
    ]
    return kicks + snares + open_hats + closed_hats


def compose() -> list[Note]:
    """All notes of the three scenes, in ms from the start."""
    return piano(0, 2160) + strings(8640, 2160) + techno(17280, 1760)


def variable_length(value: int) -> bytes:
    """MIDI's seven bits a byte, most significant first, all but the last with the high bit set."""
    out = [value & 0x7F]
    while value := value >> 7:
        out.append(0x80 | value & 0x7F)
    return bytes(reversed(out))


def midi(notes: list[Note]) -> bytes:
    """A standard MIDI file of format 0."""
    events = []  # (ms, rank, message): at the same time a note ends before the next starts
    for channel, (program, volume, pan, reverb) in CHANNELS.items():
        events.append((0, 0, bytes([0xC0 | channel, program])))
        for controller, value in ((7, volume), (10, pan), (91, reverb), (93, 0)):
            events.append((0, 0, bytes([0xB0 | channel, controller, value])))
    for note in notes:
        events.append((note.start, 2, bytes([0x90 | note.channel, note.key, note.velocity])))
        events.append((note.start + note.length, 1, bytes([0x80 | note.channel, note.key, 0])))
    # A last event past the end, so that the renderer waits for the tails.
    events.append((int(1000 * DURATION_S) + 500, 3, bytes([0xFF, 0x2F, 0])))

    track = b""
    now = 0
    for time, _, message in sorted(events):
        track += variable_length(time - now) + message
        now = time
    header = b"MThd" + struct.pack(">IHHH", 6, 0, 1, TICKS_PER_QUARTER)
    return header + b"MTrk" + struct.pack(">I", len(track)) + track


def render(out: Path) -> None:
    """Write the demo to `out`, an Ogg Vorbis file of `DURATION_S` seconds at 44100 Hz."""
    if not SOUND_FONT.exists():
        raise SystemExit(f"{SOUND_FONT}: no such file (Debian: apt-get install fluid-soundfont-gm)")
    with tempfile.TemporaryDirectory() as folder:
        score, sound = Path(folder, "demo.mid"), Path(folder, "demo.wav")
        score.write_bytes(midi(compose()))
        synthesise = ["fluidsynth", "-q", "-n", "-i", "-r", "44100", "-g", "0.44", "-T", "wav"]
        synthesise += ["-O", "s16", "-F", str(sound), str(SOUND_FONT), str(score)]
        encode: list[str | Path] = ["ffmpeg", "-v", "error", "-y", "-i", sound]
        encode += ["-t", str(DURATION_S), "-af", f"afade=out:st={DURATION_S - 0.5}:d=0.5"]
        encode += ["-c:a", "libvorbis", "-q:a", "4"]
        # Without these the encoder writes its version and a random stream number.
        encode += ["-map_metadata", "-1", "-fflags", "+bitexact", "-flags:a", "+bitexact"]
        encode += ["-metadata", "TITLE=Prelude in C, BWV 846, bars 1-4, three ways", out]
        for command in (synthesise, encode):
            try:
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            except FileNotFoundError as error:
                raise SystemExit(
                    f"{command[0]}: not installed (apt-get install {command[0]})"
                ) from error


if __name__ == "__main__":
    render(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("demo.ogg"))
