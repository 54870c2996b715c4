"""Folders as they are: hidden files, links, endings."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from auricle.nodes.signal.audio_files import Found, find_audio


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def names(found: Found, folder: Path) -> list[str]:
    return [file.relative_to(folder).as_posix() for file in found.files]


def test_files_at_any_depth_in_order(tmp_path: Path) -> None:
    touch(tmp_path, "b.WAV", "a/z.mp3", "a/b/c.flac", "a.ogg")
    found = find_audio(tmp_path)
    assert names(found, tmp_path) == ["a/b/c.flac", "a/z.mp3", "a.ogg", "b.WAV"]
    assert found == Found(found.files)
    assert found.passed_over == ""


def test_what_is_passed_over_is_counted(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav", "a/cover.JPG", "b/cover.jpg", "notes", "b/list.txt")
    touch(tmp_path, "._a.wav", ".Trashes/b.wav", ".Trashes/c.wav")
    found = find_audio(tmp_path)
    assert names(found, tmp_path) == ["a.wav"]
    assert found.others == Counter({".jpg": 2, ".txt": 1, "": 1})
    assert found.passed_over == "4 files with other endings (.jpg, .txt, none) and 2 hidden"


def test_endings_that_decode_are_looked_at(tmp_path: Path) -> None:
    """Besides the common ones: recorders, phones, broadcasting, old games, video."""
    endings = "aifc dsf dff tak spx mp1 dts snd bwf rf64 m4r 3gp ts flv avi asf wmv adts loas voc"
    touch(tmp_path, *(f"a.{ending}" for ending in endings.split()))
    assert len(find_audio(tmp_path).files) == 20


def test_a_hidden_folder_that_is_named_is_looked_at(tmp_path: Path) -> None:
    touch(tmp_path, ".music/a.wav")
    assert names(find_audio(tmp_path / ".music"), tmp_path) == [".music/a.wav"]


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path, "real/album/x.wav", "lib/y.wav")
    (tmp_path / "lib/album").symlink_to("../real/album")
    (tmp_path / "lib/again").symlink_to(tmp_path / "real/album")
    (tmp_path / "lib/loop").symlink_to("..")
    (tmp_path / "lib/self").symlink_to("self")
    assert names(find_audio(tmp_path / "lib"), tmp_path / "lib") == ["again/x.wav", "y.wav"]
    # Where the folder itself is inside, its files have their real paths.
    assert names(find_audio(tmp_path), tmp_path) == ["lib/y.wav", "real/album/x.wav"]


def test_a_link_to_a_folder_above_does_not_lead_out(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.wav", "b/y.wav")
    (tmp_path / "a/up").symlink_to("..")
    assert names(find_audio(tmp_path / "a"), tmp_path) == ["a/x.wav"]


def test_a_link_that_leads_nowhere_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "gone.wav").symlink_to("nowhere.wav")
    assert names(find_audio(tmp_path), tmp_path) == ["gone.wav"]


def test_a_pipe_in_a_folder_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    touch(tmp_path, "a.wav")
    assert names(find_audio(tmp_path), tmp_path) == ["a.wav"]


def test_a_folder_that_is_gone_is_unreadable(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    assert find_audio(gone).unreadable == [(gone, "No such file or directory")]
