"""`auricle keys`: what is written, what only the owner can read, who is let in."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import zmq.auth
from click.testing import CliRunner, Result

from auricle.cli import cli
from auricle.wire.security import AllowList


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def keys(*words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(cli, ["keys", *words])
    assert result.exit_code == code, result.output
    return result


def test_secret_keys_are_for_the_owner_alone() -> None:
    before = os.umask(0)
    try:
        keys("new", "studio")
        assert os.umask(0) == 0, "it is left as it was"
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path("keys/studio.key_secret").stat().st_mode) == 0o600
    public, secret = zmq.auth.load_certificate("keys/studio.key_secret")
    assert zmq.auth.load_certificate("keys/studio.key") == (public, None)
    assert secret is not None


def test_a_client_is_let_in_until_it_is_revoked() -> None:
    """As the engine decides it, by the list that it looks at."""
    keys("new", "laptop")
    keys("new", "desk")
    public = zmq.auth.load_certificate("keys/laptop.key")[0]
    keys("allow", "keys/laptop.key")
    allowed = AllowList(Path("keys/clients"))
    assert allowed.callback("auricle", public)
    assert f"laptop  {public.decode()}" in keys("list").output
    assert "already" in keys("allow", "keys/laptop.key").output
    keys("revoke", "laptop")
    assert not allowed.callback("auricle", public)
    assert "nobody may connect" in keys("list").output
    keys("allow", "keys/laptop.key", "--name", "mobile")
    assert allowed.callback("auricle", public)


def test_a_secret_key_is_never_copied_among_the_clients() -> None:
    keys("new", "laptop")
    keys("allow", "keys/laptop.key_secret")
    assert [path.name for path in Path("keys/clients").iterdir()] == ["laptop.key"]
    public, secret = zmq.auth.load_certificate("keys/clients/laptop.key")
    assert secret is None
    assert public == zmq.auth.load_certificate("keys/laptop.key")[0]
    keys("list")


def test_nothing_is_overwritten() -> None:
    keys("new", "laptop")
    before = Path("keys/laptop.key_secret").read_bytes()
    assert "already exists" in keys("new", "laptop", code=2).output
    assert Path("keys/laptop.key_secret").read_bytes() == before
    keys("allow", "keys/laptop.key")
    keys("new", "laptop", "--folder", "other")
    assert "already exists with another key" in keys("allow", "other/laptop.key", code=2).output


def test_mistakes_are_one_line() -> None:
    assert "no such folder" in keys("list", code=2).output
    keys("new", "laptop")
    keys("allow", "keys/laptop.key")
    assert "did you mean laptop?" in keys("revoke", "labtop", code=2).output
    assert "letters, digits" in keys("new", "../laptop", code=2).output
    Path("text.key").write_text("not a key")
    assert "text.key: not a key" in keys("allow", "text.key", code=2).output
    Path("keys/clients/bad.key").write_text("nor this")
    listed = keys("list").output
    assert "bad     left out" in listed
    assert "laptop  " in listed
