"""Addresses: their form, and what is at them already."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from auricle.errors import InputError, WireError
from auricle.nodes.inputs.zmq import ZmqInput
from auricle.wire.address import check_address, check_free
from auricle.wire.pcm import PcmSender
from auricle.wire.server import Server
from auricle.wire.settings import WireSpec


@pytest.fixture
def first(tmp_path: Path) -> Iterator[Server]:
    server = Server(WireSpec(publish=f"ipc://{tmp_path}/a", control=f"ipc://{tmp_path}/b"))
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize("path", ["a", "b", "../{here}/a"])
def test_a_second_engine_does_not_take_the_address_of_the_first(
    first: Server, tmp_path: Path, path: str
) -> None:
    address = f"ipc://{tmp_path}/{path.format(here=tmp_path.name)}"
    with pytest.raises(WireError) as caught:
        Server(WireSpec(publish=address)).start()
    assert str(caught.value) == f"wire.publish: {address}: Address already in use"
    with closing(socket.socket(socket.AF_UNIX)) as client:
        client.connect(f"{tmp_path}/a")  # the first can still be reached


def test_one_path_is_not_for_two_sockets(tmp_path: Path) -> None:
    other = f"ipc://{tmp_path}/../{tmp_path.name}/a"
    with pytest.raises(WireError, match=r"^wire\.control: .*: Address already in use$"):
        Server(WireSpec(publish=f"ipc://{tmp_path}/a", control=other)).start()


@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_what_is_not_a_socket_is_not_replaced(tmp_path: Path, kind: str) -> None:
    place, target = tmp_path / "mine", tmp_path / "target"
    target.write_text("kept")
    match kind:
        case "file":
            place.write_text("kept")
        case "link":
            place.symlink_to(target)
        case "folder":
            place.mkdir()
    address = f"ipc://{place}"
    with pytest.raises(WireError, match="which is not replaced"):
        Server(WireSpec(publish=address)).start()
    with pytest.raises(InputError, match="which is not replaced"):
        ZmqInput("zmq", address=address).start()
    with pytest.raises(WireError, match="which is not replaced"):
        PcmSender(address, 16000, bind=True)
    assert place.is_dir() if kind == "folder" else place.read_text() == "kept"


def test_the_socket_of_an_engine_that_was_killed_is_no_obstacle(tmp_path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as dead:
        dead.bind(f"{tmp_path}/a")
    server = Server(WireSpec(publish=f"ipc://{tmp_path}/a"))
    server.start()
    server.stop()


def test_names_that_are_no_paths(tmp_path: Path) -> None:
    check_free("ipc://*")
    check_free(f"ipc://@auricle-{os.getpid()}")
    check_free("tcp://127.0.0.1:5680")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open everything")
def test_a_folder_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    with pytest.raises(WireError, match="Permission denied"):
        check_free(f"ipc://{tmp_path}/closed/a")


@pytest.mark.parametrize(
    "address",
    ["ipc://a\0b", "ipc://a\nb", "ipc://\udcff", "tcp://a\0b:5680", "tcp://\udcff:1", "tcp://a:٣"],
)
def test_characters_that_no_address_has(address: str) -> None:
    with pytest.raises(WireError, match="is not an address") as caught:
        check_address(address)
    assert str(caught.value).isprintable()
