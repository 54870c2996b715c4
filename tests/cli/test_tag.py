"""`auricle tag`: the numbers of Essentia, every form of output, files that are not as they seem."""

import json
import os
import shutil
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auricle.cli.tag import tag
from auricle.cli.tag_output import TagOutput
from auricle.cli.tag_work import Tagged
from auricle.nodes.inputs.file import FileInput
from auricle.tagging import FileTagger
from tests.cli.command import assert_one_line, auricle
from tests.conftest import ROOT
from tests.tiny import LABELS, make_backbone, make_transformer

REFERENCE = ROOT / "tests/data/reference.flac"
DEMO = ROOT / "graphs/demo/demo.ogg"

needs_ffmpeg = pytest.mark.skipif(
    shutil.which("ffmpeg") is None, reason="needs ffmpeg to make the files"
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model, for tests in which the numbers do not matter."""
    return make_backbone(tmp_path_factory.mktemp("models") / "tiny")


def noise(
    path: Path, seconds: float = 3, rate: int = 16000, channels: int = 1, width: int = 2
) -> Path:
    """A WAV file of noise; `width` bytes a sample."""
    rng = np.random.default_rng(0)
    samples = rng.integers(0, 256, (int(seconds * rate), channels, width), np.uint8)
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    return path


def ffmpeg(*arguments: object) -> None:
    subprocess.run(["ffmpeg", "-loglevel", "error", "-y", *map(str, arguments)], check=True)


def lines(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def test_segments_are_those_of_essentia(musicnn: str) -> None:
    """Both compute in float32 from the same samples; mel frames differ by up to 1.2e-4.

    The network turns that into 2e-5 of an activation and 2e-4 of an embedding; what is promised is
    1e-3 and 1e-2.
    """
    result = auricle("tag", "--model", musicnn, "--segments", "--jsonl", "--embeddings", REFERENCE)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    found = lines(result.stdout)
    reference = np.load(ROOT / "tests/data/reference.npz")
    expected = reference["musicnn-mtt/activations"]
    assert [item["index"] for item in found] == list(range(len(expected)))
    activations = np.array([list(item["activations"].values()) for item in found])
    np.testing.assert_allclose(activations, expected, rtol=0, atol=1e-4)
    embeddings = np.array([item["embeddings"] for item in found])
    np.testing.assert_allclose(embeddings, reference["musicnn-mtt/embeddings"], rtol=0, atol=1e-3)
    assert list(found[0]) == ["file", "index", "start", "end", "activations", "embeddings"]
    assert found[0]["file"] == str(REFERENCE)
    # 187 frames of 16 ms, every 93.
    assert (found[2]["start"], found[2]["end"]) == (
        pytest.approx(2 * 1.488),
        pytest.approx(2 * 1.488 + 2.992),
    )


def test_means_of_stereo_vorbis_are_those_of_essentia(musicnn: str) -> None:
    """44.1 kHz stereo. Essentia has its sinc resampler; another one moves the means by 0.007."""
    result = auricle("tag", "--model", musicnn, "--jsonl", DEMO)
    assert (result.returncode, result.stderr) == (0, ""), "nothing is missing in it"
    (summary,) = lines(result.stdout)
    expected = np.load(ROOT / "tests/data/reference.npz")["demo/musicnn-mtt/mean_activations_sinc"]
    np.testing.assert_allclose(list(summary["activations"].values()), expected, rtol=0, atol=0.02)
    assert (summary["segments"], summary["duration"]) == (16, 26.0)


def test_segments_are_the_same_from_a_program(tiny: Path) -> None:
    result = auricle("tag", "--model", tiny, "--segments", "--hop-size", 50, REFERENCE)
    found = lines(result.stdout)
    segments = list(FileTagger(REFERENCE, str(tiny), hop_size=50))
    assert [item["activations"] for item in found] == [segment.activations for segment in segments]
    assert [item["end"] for item in found] == [pytest.approx(segment.end) for segment in segments]


def test_table(tiny: Path) -> None:
    result = auricle("tag", "--model", tiny, REFERENCE)
    title, *rows = result.stdout.splitlines()
    assert title == f"{REFERENCE}  0:12"
    assert sorted(row.split()[0] for row in rows) == sorted(LABELS)
    values = [float(row.split()[1]) for row in rows]
    assert values == sorted(values, reverse=True)


def test_folder_is_walked_and_one_bad_file_stops_no_other(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "in/deeper").mkdir(parents=True)
    noise(tmp_path / "in/b.wav")
    noise(tmp_path / "in/deeper/a.WAV")
    (tmp_path / "in/broken.wav").write_text("this is not audio")
    (tmp_path / "in/notes.txt").write_text("nor is this, and it is not asked for")
    result = auricle("tag", "--model", tiny, "--jsonl", tmp_path / "in")
    assert [Path(item["file"]).name for item in lines(result.stdout)] == ["b.wav", "a.WAV"]
    passed_over, broken = result.stderr.splitlines()
    assert passed_over.endswith("in: passed over: 1 file with other endings (.txt)")
    assert "broken.wav: not audio that FFmpeg can read" in broken
    assert result.returncode == 1


@pytest.mark.parametrize("mode", [0o000, 0o444])
def test_a_folder_that_may_not_be_read_is_said(tiny: Path, tmp_path: Path, mode: int) -> None:
    closed = tmp_path / "closed"
    for name in ("a", "closed", "z"):
        (tmp_path / name).mkdir()
        noise(tmp_path / name / "x.wav")
    command = [sys.executable, "-m", "auricle", "tag", "--model", str(tiny), "--jsonl"]
    if os.geteuid() == 0:  # without its privilege of reading everything
        if not shutil.which("setpriv"):
            pytest.skip("setpriv is not installed")
        limits = "-dac_override,-dac_read_search"
        command = ["setpriv", f"--bounding-set={limits}", f"--inh-caps={limits}", *command]
    closed.chmod(mode)
    try:
        result, named = (
            subprocess.run([*command, *paths], capture_output=True, text=True, check=False)
            for paths in ([tmp_path], [closed / "x.wav", tmp_path / "z/x.wav"])
        )
    finally:
        closed.chmod(0o755)
    found = [Path(item["file"]).parent.name for item in lines(result.stdout)]
    assert found == ["a", "z"]
    assert_one_line(result, f"{closed}: Permission denied")
    assert [Path(item["file"]).parent.name for item in lines(named.stdout)] == ["z"]
    assert_one_line(named, f"{closed}/x.wav: Permission denied")


def test_a_stick_that_was_in_a_mac(tiny: Path, tmp_path: Path) -> None:
    noise(tmp_path / "song.wav")
    (tmp_path / "._song.wav").write_bytes(b"\0\5\26\7\0\2\0\0Mac OS X        ")
    (tmp_path / ".Trashes").mkdir()
    noise(tmp_path / ".Trashes/old.wav")
    (tmp_path / "cover.jpg").touch()
    result = auricle("tag", "--model", tiny, "--jsonl", tmp_path)
    assert [Path(item["file"]).name for item in lines(result.stdout)] == ["song.wav"]
    passed_over = "passed over: 1 file with other endings (.jpg) and 2 hidden"
    assert_one_line(result, f"{tmp_path}: {passed_over}", code=0)


@pytest.mark.parametrize("how", ["cat {} | {} -", "{1} - < {0}", "cat {} | {} /dev/stdin"])
def test_standard_input(tiny: Path, tmp_path: Path, how: str) -> None:
    path = noise(tmp_path / "a.wav")
    program = f"{sys.executable} -m auricle tag --model {tiny} --jsonl"
    result = subprocess.run(
        how.format(path, program), shell=True, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    (piped,) = lines(result.stdout)
    (plain,) = lines(auricle("tag", "--model", tiny, "--jsonl", path).stdout)
    assert piped == {**plain, "file": "/dev/stdin"}


def test_named_pipe_and_what_is_not_there(tiny: Path, tmp_path: Path) -> None:
    pipe, path = tmp_path / "pipe.wav", noise(tmp_path / "a.wav")
    os.mkfifo(pipe)
    with subprocess.Popen(["sh", "-c", 'cat "$0" > "$1"', path, pipe]):
        result = auricle("tag", "--model", tiny, "--jsonl", pipe)
    assert (result.returncode, result.stderr) == (0, "")
    assert [item["duration"] for item in lines(result.stdout)] == [3]
    nothing = auricle("tag", "--model", tiny, "-", stdin=subprocess.DEVNULL)
    assert_one_line(nothing, "/dev/stdin", "not audio that FFmpeg can read")


@pytest.mark.slow
def test_same_file_in_other_forms_gives_the_same_tags(tiny: Path, tmp_path: Path) -> None:
    """WAV of 8, 16, 24 and 32 bit. 8 bit leaves 1/256 of noise."""
    rng = np.random.default_rng(0)
    exact = rng.uniform(-1, 1, 48000)
    means = []
    for width in (1, 2, 3, 4):
        scale = 2 ** (8 * width - 1)
        whole = np.clip(np.round(exact * scale), -scale, scale - 1).astype(np.int64) + (
            128 if width == 1 else 0
        )
        path = tmp_path / f"{8 * width}.wav"
        with wave.open(str(path), "wb") as file:
            file.setparams((1, width, 16000, 0, "NONE", ""))
            file.writeframes(whole.astype("<i8").view(np.uint8).reshape(-1, 8)[:, :width].tobytes())
        (summary,) = lines(auricle("tag", "--model", tiny, "--jsonl", path).stdout)
        means.append(list(summary["activations"].values()))
    np.testing.assert_allclose(means[1:], [means[3]] * 3, atol=1e-3)
    np.testing.assert_allclose(means[0], means[3], atol=2e-2)


def test_high_rates_and_many_channels(tiny: Path, tmp_path: Path) -> None:
    path = noise(tmp_path / "wide.wav", seconds=2, rate=192_000, channels=8, width=3)
    (summary,) = lines(auricle("tag", "--model", tiny, "--jsonl", path).stdout)
    assert summary["duration"] == pytest.approx(2, abs=0.001)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_samples_that_are_no_numbers_are_silenced_and_flagged(
    tiny: Path, tmp_path: Path, number: float
) -> None:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 32000).astype("<f4")
    samples[16000:16100] = number
    path = tmp_path / "float.wav"
    header = b"fmt " + np.array([16, 3 | 1 << 16, 16000, 64000, 4 | 32 << 16], "<u4").tobytes()
    data = b"data" + np.array([samples.nbytes], "<u4").tobytes() + samples.tobytes()
    path.write_bytes(
        b"RIFF" + np.array([4 + len(header) + len(data)], "<u4").tobytes() + b"WAVE" + header + data
    )
    result = auricle("tag", "--model", tiny, "--segments", path)
    assert_one_line(result, "float.wav", "not numbers in 1 place", code=3)
    found = lines(result.stdout)
    assert all(np.isfinite(list(item["activations"].values())).all() for item in found)
    flagged = [item["index"] for item in found if item.get("flags") == ["nan"]]
    # Sample 16000 is in frame 62 or 63; segments of 40 frames every 13.
    assert flagged == [n for n in range(len(found)) if n * 13 <= 63 and n * 13 + 40 > 62]
    assert 0 < len(flagged) < len(found)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.wav", None, "No such file"),
        ("empty.mp3", b"", "an empty file"),
        (
            "text.wav",
            b"To be or not to be, that is the question.\n" * 50,
            "not audio that FFmpeg can read",
        ),
    ],
)
def test_files_that_are_none(
    tiny: Path, tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    assert_one_line(auricle("tag", "--model", tiny, path), str(path), message)


def test_a_url_is_no_file(tiny: Path) -> None:
    result = auricle("tag", "--model", tiny, "http://radio.example/x.mp3")
    assert_one_line(result, "http://radio.example/x.mp3: not a file", "auricle run live", code=2)


def test_long_labels_do_not_push_the_bars_out_of_line(capsys: pytest.CaptureFixture[str]) -> None:
    means = {"x" * 30: 0.5, "short": 0.25}
    with TagOutput(segments=False, jsonl=False) as output:
        output.summary(Tagged(Path("a.wav"), 61, 1, means, {}, "", {}, []))
    title, *rows = capsys.readouterr().out.splitlines()
    assert title == "a.wav  1:01"
    assert [row.index("0.") for row in rows] == [33, 33]


def test_folder_without_audio(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("nothing to hear")
    assert_one_line(
        auricle("tag", "--model", tiny, tmp_path), str(tmp_path), "no audio files in this folder"
    )


def test_too_short_file_says_so(tiny: Path, tmp_path: Path) -> None:
    path = noise(tmp_path / "short.wav", seconds=0.3)
    result = auricle("tag", "--model", tiny, path)
    assert_one_line(
        result, "short.wav", "0.3 s of audio, too short for a segment; tiny needs 0.64 s", code=3
    )


@needs_ffmpeg
def test_video_without_audio(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "silent.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc=duration=1:size=64x64", "-c:v", "mpeg4", path)
    assert_one_line(auricle("tag", "--model", tiny, path), str(path), "no audio in it, only video")


@needs_ffmpeg
def test_truncated_mp3_is_tagged_as_far_as_it_goes(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.mp3"
    ffmpeg("-i", DEMO, "-b:a", "96k", path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    result = auricle("tag", "--model", tiny, "--jsonl", path)
    (summary,) = lines(result.stdout)
    assert summary["duration"] == pytest.approx(13, abs=0.5)
    assert_one_line(result, "cut.mp3", "cut off", "of 26.0", code=3)


def test_wrong_options(tiny: Path) -> None:
    unknown = auricle("tag", "--model", "musicnn-mtx", REFERENCE)
    assert_one_line(unknown, "musicnn-mtx", "musicnn-mtt", code=2)
    result = auricle("tag", "--model", tiny, "--embeddings", REFERENCE)
    assert result.returncode == 2
    assert "--embeddings needs --segments" in result.stderr


def test_damaged_model(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny, folder)
    data = bytearray((folder / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "model.onnx").write_bytes(data)
    assert_one_line(auricle("tag", "--model", folder, REFERENCE), "tiny", "damaged")


def test_debug_shows_where(tiny: Path, tmp_path: Path) -> None:
    result = auricle("--debug", "tag", "--model", "nothing-like-it", REFERENCE)
    assert "Traceback" in result.stderr


def test_reader_that_has_seen_enough(tiny: Path) -> None:
    """As in `auricle tag ... | head -1`: no traceback."""
    command = [
        sys.executable,
        "-m",
        "auricle",
        "tag",
        "--model",
        str(tiny),
        "--segments",
        "--hop-size",
        "1",
    ]
    with subprocess.Popen(
        [*command, str(DEMO)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(30) == 1


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tiny: Path, tmp_path: Path) -> None:
    """Half an hour of 48 kHz stereo, which is 350 MB as bytes and 700 MB as floats."""
    path = tmp_path / "long.wav"
    second = np.random.default_rng(0).integers(-9999, 9999, 96_000).astype("<i2").tobytes()
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, 48_000, 0, "NONE", ""))
        for _ in range(1800):
            file.writeframes(second)
    script = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
        "peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss\n"
        "print(peak / (1 << 20 if sys.platform == 'darwin' else 1 << 10))"
    )
    command = [sys.executable, "-m", "auricle", "tag", "--model", str(tiny), str(path)]
    result = subprocess.run(
        [sys.executable, "-c", script, *command], capture_output=True, text=True, check=True
    )
    assert float(result.stdout) < 350


@pytest.mark.slow
def test_a_level_of_patchout(tmp_path: Path) -> None:
    """Each level gives what the engine gives on it; one that there is not is one line."""
    model, file = make_transformer(tmp_path / "patches"), noise(tmp_path / "noise.wav")
    found = {}
    for level in ("full", "least"):
        result = auricle("tag", "--model", model, "--patchout", level, "--segments", file)
        assert result.returncode == 0, result.stderr
        found[level] = [list(item["activations"].values()) for item in lines(result.stdout)]
        tagger = FileTagger(file, str(model), patchout=level)
        assert found[level] == [list(segment.activations.values()) for segment in tagger]
        assert {item["patchout"] for item in lines(result.stdout)} == {level}
        (whole,) = lines(
            auricle("tag", "--model", model, "--patchout", level, "--jsonl", file).stdout
        )
        assert whole["patchout"] == level
    assert np.abs(np.array(found["full"]) - found["least"]).max() > 1e-3
    result = auricle("tag", "--model", model, "--patchout", "none", file)
    assert_one_line(result, "no patchout level 'none'", code=2)


def test_whatever_is_wrong_with_a_file_the_others_are_tagged(
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bad, good = noise(tmp_path / "bad.wav"), noise(tmp_path / "good.wav")

    def start(self: FileInput) -> None:
        if self.params.path == bad:
            raise ValueError("a fault that\nnobody foresaw")
        real(self)

    real = FileInput.start
    monkeypatch.setattr(FileInput, "start", start)
    with pytest.raises(SystemExit) as end:
        tag([str(bad), str(good), "--model", str(tiny), "--jsonl"])
    assert end.value.code == 1
    printed = capsys.readouterr()
    assert [each["file"] for each in lines(printed.out)] == [str(good)]
    (line,) = printed.err.splitlines()
    assert line.startswith(f"auricle: {bad}: ")
    assert line.endswith("ValueError: a fault that nobody foresaw")


@pytest.mark.parametrize("encoding", ["utf-8:strict", "latin-1:strict", "ascii"])
def test_names_that_a_terminal_cannot_show(tiny: Path, tmp_path: Path, encoding: str) -> None:
    names = [b"\xff.wav", "\u97f3.wav".encode(), b"good.wav"]
    for name in names:
        noise(Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)))
    command = [sys.executable, "-m", "auricle", "tag", str(tmp_path), "--model", str(tiny)]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    result = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.count(b".wav") == 3


def test_a_name_that_is_escaped_is_said_once(tiny: Path, tmp_path: Path) -> None:
    result = auricle("tag", "--model", tiny, tmp_path / "no\udc85.wav")
    assert result.stderr.count("no\\udc85.wav") == 1


def test_closed_standard_error(tiny: Path, tmp_path: Path) -> None:
    file = noise(tmp_path / "good.wav")
    command = f"exec {sys.executable} -m auricle tag {file} --model {tiny} --jsonl 2>&-"
    result = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert result.returncode == 0
    assert len(lines(result.stdout)) == 1
