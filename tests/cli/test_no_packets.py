"""What leaves the machine: nothing that the user did not ask for, by any library."""

from __future__ import annotations

import ipaddress
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.service.running import write_graph, write_sound
from tests.tiny import make_backbone

CALLS = "connect,sendto,sendmsg,sendmmsg"
"""System calls that name the address that a packet goes to."""

ADDRESS = re.compile(
    r'sin6?_port=htons\((?P<port>\d+)\).*?(?:inet_addr\(|inet_pton\(AF_INET6, )"(?P<address>[^"]+)"'
)

DNS = 53


def packets(log: str) -> list[str]:
    """The calls in a log of strace that send to another machine, or ask for the name of one."""
    found = []
    for line in log.splitlines():
        match = ADDRESS.search(line)
        if match and (
            not ipaddress.ip_address(match["address"]).is_loopback or int(match["port"]) == DNS
        ):
            found.append(line)
    return found


def traced(tmp_path: Path, *arguments: object) -> tuple[list[str], str]:
    """Run a command under strace; returns what it sent to others, and what it printed."""
    log = tmp_path / "strace.log"
    strace = ["strace", "-f", "-qq", "-e", f"trace={CALLS}", "--seccomp-bpf", "-o", str(log)]
    try:
        subprocess.run([*strace, "true"], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs strace, which cannot be used here: {error}")
    command = [sys.executable, "-m", "auricle", *map(str, arguments)]
    result = subprocess.run(
        [*strace, *command], capture_output=True, text=True, timeout=500, check=False
    )
    assert result.returncode == 0, result.stderr
    return packets(log.read_text()), result.stdout


def test_packets_are_told_from_what_stays_here() -> None:
    def connect(port: int, address: str) -> str:
        place = f'sin_port=htons({port}), sin_addr=inet_addr("{address}")'
        return f"1 connect(3, {{sa_family=AF_INET, {place}}}, 16) = 0"

    ours = [
        '1 connect(3, {sa_family=AF_UNIX, sun_path="/run/x"}, 110) = 0',
        connect(5680, "127.0.0.1"),
    ]
    others = [
        connect(53, "127.0.0.53"),
        connect(443, "192.0.2.1"),
        '1 sendto(3, "x", 1, 0, {sa_family=AF_INET6, sin6_port=htons(9), sin6_flowinfo=htonl(0), '
        'inet_pton(AF_INET6, "2001:db8::1", &sin6_addr), sin6_scope_id=0}, 28) = 1',
    ]
    assert packets("\n".join([*ours, *others])) == others


def test_tag_sends_nothing(tmp_path: Path) -> None:
    model = make_backbone(tmp_path / "tiny")
    write_sound(tmp_path / "a.wav", 2, 1)
    sent, printed = traced(tmp_path, "tag", tmp_path / "a.wav", "--model", model)
    assert "drums" in printed
    assert not sent


@pytest.mark.slow
def test_a_running_engine_sends_nothing(tmp_path: Path) -> None:
    make_backbone(tmp_path / "tiny")
    write_sound(tmp_path / "long.wav", 60, 1)
    graph = write_graph(
        tmp_path, "[{name: a, input: long.wav, values: {input.realtime: true}}]", "graph.yaml"
    )
    sent, _ = traced(tmp_path, "run", graph, "--duration", 5)
    assert not sent


def test_strace_is_known_to_see_packets(tmp_path: Path) -> None:
    """The test would fail: a program that does send a packet is seen."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    log = tmp_path / "log"
    program = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "try: s.sendto(b'x', ('192.0.2.1', 9))\n"
        "except OSError: pass"
    )
    strace = ["strace", "-f", "-qq", "-e", f"trace={CALLS}", "-o", str(log)]
    subprocess.run([*strace, sys.executable, "-c", program], check=False, timeout=60)
    if not log.exists():
        pytest.skip("strace cannot be used here")
    assert len(packets(log.read_text())) == 1
