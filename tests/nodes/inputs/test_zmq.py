"""PCM over TCP from another thread, in order and not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import msgpack
import numpy as np
import pytest
import zmq

from auricle.errors import ConfigError, InputError, WireError
from auricle.nodes.inputs.zmq import ZmqInput
from auricle.nodes.signal.conditioner import Resampler, downmix, pcm_samples, to_float
from auricle.wire.pcm import PcmHeader, encode_pcm
from tests.nodes.listening import PATIENCE_S, Listener, Outages, listening, one_line, tone

GOOD = {"v": 2, "sample_rate": 16000, "channels": 1, "format": "s16le", "first_sample": 0, "seq": 0}


class Sender:
    """A sender that connects to `address`, or binds without one."""

    def __init__(self, address: str | None = None) -> None:
        socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUSH)
        socket.linger = 0
        socket.sndtimeo = PATIENCE_S * 1000
        if address:
            socket.ipv6 = "[" in address
            socket.connect(address)
        else:
            socket.bind("tcp://127.0.0.1:*")
        self.socket = socket
        self.address = socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self.seq = 0

    def send(
        self,
        first: int,
        samples: bytes,
        rate: int = 16000,
        channels: int = 1,
        form: str = "s16le",
        end: bool = False,
    ) -> None:
        header = PcmHeader(
            sample_rate=rate,
            channels=channels,
            format=form,
            first_sample=first,
            seq=self.seq,
            end=end,
        )
        self.seq += 1
        self.socket.send_multipart(encode_pcm(header, samples))


@contextmanager
def sending(start: int = 0, **params: Any) -> Iterator[tuple[ZmqInput, Listener, Sender, Any]]:
    node = ZmqInput("zmq", **{"address": "tcp://127.0.0.1:*", "ends": True, **params})
    with listening(node, start) as (scheduler, listener):
        wait_started(scheduler.runs[0], node)
        sender = Sender(node.address)
        try:
            yield node, listener, sender, scheduler
        finally:
            sender.socket.close()


def wait_started(run: Any, node: ZmqInput) -> None:
    wait_until(lambda: not node.address.endswith("*") or run.over)


def wait_until(what: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(PATIENCE_S * 100):
        if what():
            return
        pause.wait(0.01)
    raise AssertionError("this never came")


def pcm(samples: np.ndarray) -> bytes:
    return (samples * 2**15).astype("<i2").tobytes()


def encoded(samples: np.ndarray, form: str) -> bytes:
    """`(frames, channels)` within +-1 as raw PCM."""
    if form == "u8":
        return (samples * 100 + 128).astype("u1").tobytes()
    if form == "s24le":
        return (samples * 2**31).astype("<i4").view("u1").reshape(-1, 4)[:, 1:].tobytes()
    if form[0] == "f":
        return samples.astype({"f32le": "<f4", "f64le": "<f8"}[form]).tobytes()
    return pcm(samples) if form == "s16le" else (samples * 2**31).astype("<i4").tobytes()


@pytest.mark.parametrize("start", [0, 2**31 - 5, 2**53])
@pytest.mark.parametrize(
    ("form", "channels", "rate"),
    [
        ("u8", 1, 8000),
        ("s16le", 2, 44100),
        ("s24le", 2, 48000),
        ("s32le", 1, 16000),
        ("f32le", 8, 48000),
        ("f64le", 2, 96000),
    ],
)
def test_every_format(start: int, form: str, channels: int, rate: int) -> None:
    samples = tone(440, 0.5, rate)[:, None] * np.linspace(1, 0.5, channels)
    with sending(start) as (_, listener, sender, scheduler):
        at = 0
        for size in [1, 127, 256, 4096, len(samples)]:
            block = samples[at : at + size]
            sender.send(at, encoded(block, form), rate, channels, form)
            at += len(block)
        sender.send(at, b"", rate, channels, form, end=True)
        assert scheduler.wait(PATIENCE_S)
        assert scheduler.runs[0].error is None
    resampler = Resampler(rate, 16000)
    # Bit for bit: the way there must not matter.
    whole = resampler(downmix(to_float(pcm_samples(encoded(samples, form), form, channels))))
    np.testing.assert_array_equal(listener.samples, np.concatenate([whole, resampler.flush()]))
    assert not listener.gaps


def test_hole_is_a_gap_of_its_length() -> None:
    samples = tone(440, 1, 16000)
    with sending(2**53) as (node, listener, sender, scheduler):
        sender.send(1000, pcm(samples[:4000]))
        sender.send(1000 + 4777, pcm(samples[4777:8000]))
        sender.send(1000 + 8000, pcm(samples[8000:]), end=True)
        assert scheduler.wait(PATIENCE_S)
    (gap,) = listener.gaps
    assert (gap.start - 2**53, gap.stop - 2**53, gap.reason) == (4000, 4777, "hole")
    assert gap.source == (5000, 5777)
    expected = np.trunc(samples * 2**15).astype(np.float32) / 2**15
    expected[4000:4777] = 0
    np.testing.assert_array_equal(listener.samples, expected)
    assert node.statistics()["lost_samples"] == 777


@pytest.mark.parametrize("again", [0, 500, 16000 * 7200])
def test_numbering_that_begins_again_is_a_new_connection(again: int) -> None:
    with sending() as (_, listener, sender, scheduler):
        sender.send(1000, pcm(np.full(4000, 0.5)))
        listener.wait_for(lambda: len(listener.tokens) == 4000)
        sender.send(again, pcm(np.full(4000, 0.25)))
        sender.send(again + 4000, pcm(np.full(4000, 0.25)), end=True)
        assert scheduler.wait(PATIENCE_S)
    (gap,) = listener.gaps
    assert gap.reason == "reconnect"
    assert gap.start == 4000
    samples = listener.samples
    assert (samples[gap.start : gap.stop] == 0).all()
    assert (samples[gap.stop :] == 0.25).all()
    assert len(samples) - gap.stop == 8000


def test_rate_may_change_on_the_way() -> None:
    with sending() as (_, listener, sender, scheduler):
        sender.send(0, pcm(np.full(16000, 0.5)))
        sender.send(16000, pcm(np.full(48000, 0.5)), rate=48000, end=True)
        assert scheduler.wait(PATIENCE_S)
    samples = listener.samples
    assert len(samples) == 32000
    # But for the seam, where one filter ends and the other begins.
    np.testing.assert_allclose(samples[:16000], 0.5)
    np.testing.assert_allclose(samples[16512:-512], 0.5, atol=2e-6)


def test_full_ring_drops_and_goes_on_in_place() -> None:
    with sending() as (node, listener, sender, scheduler):
        ramp = np.arange(16000 * 12) % 30000
        listener.deaf = True
        for first in range(0, len(ramp), 1600):
            sender.send(first, ramp[first : first + 1600].astype("<i2").tobytes())
        while node.statistics()["seconds"] + node.lost / 16000 < 12 and not node.stopping.wait(
            0.01
        ):
            pass
        listener.deaf = False
        listener.wait_for(lambda: len(listener.tokens) == len(ramp))
        sender.send(len(ramp), pcm(np.full(1600, 0.25)), end=True)
        assert scheduler.wait(PATIENCE_S)
    assert set(listener.reasons()) == {"dropped"}
    lost = sum(gap.stop - gap.start for gap in listener.gaps)
    assert lost == node.lost > 16000
    heard = np.append(ramp / 2**15, np.full(1600, 0.25)).astype(np.float32)
    for gap in listener.gaps:
        heard[gap.start : gap.stop] = 0
    np.testing.assert_array_equal(listener.samples, heard)


def test_rate_changes_and_the_end_comes_while_the_ring_is_full() -> None:
    with sending() as (node, listener, sender, scheduler):
        listener.deaf = True
        for first in range(0, 48000 * 6, 4800):
            sender.send(first, pcm(np.full(4800, 0.5)), rate=48000)
        sender.send(48000 * 6, pcm(np.full(800, 0.5)), rate=8000)
        sender.send(48000 * 6 + 800, pcm(np.full(800, 0.5)), rate=8000, end=True)
        while node._expected != 48000 * 6 + 1600:
            assert not node.stopping.wait(0.01)
        listener.deaf = False
        assert scheduler.wait(PATIENCE_S)
    assert set(listener.reasons()) == {"dropped"}
    first, last = listener.gaps[0].start, listener.gaps[-1].stop
    samples = listener.samples
    assert len(samples) == last == 16000 * 6 + 3200
    np.testing.assert_allclose(samples[512 : first - 512], 0.5, atol=2e-6)
    # But for the ringing of the filter after the first edge: 20 bits below it, soon.
    assert np.abs(samples[first + 512 :]).max() < 1e-5


def test_block_longer_than_the_ring_is_heard() -> None:
    with sending() as (_, listener, sender, scheduler):
        sender.send(0, pcm(np.full(16000 * 10, 0.5)))
        sender.send(16000 * 10 + 100, b"", end=True)
        assert scheduler.wait(PATIENCE_S)
    assert (listener.samples[: 16000 * 10] == 0.5).all()
    assert listener.reasons() == ["hole"]
    assert len(listener.samples) == 16000 * 10 + 100


def test_sender_may_bind() -> None:
    sender = Sender()
    node = ZmqInput("zmq", address=sender.address, connect=True, ends=True)
    with listening(node) as (scheduler, listener):
        sender.send(0, pcm(np.full(100, 0.5)), end=True)
        assert scheduler.wait(PATIENCE_S)
        assert len(listener.samples) == 100
    sender.socket.close()


def test_stop_while_nobody_sends() -> None:
    with sending() as (_, _, _, scheduler):
        scheduler.stop()
        assert scheduler.wait(2)


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ([msgpack.packb(GOOD)], "two frames"),
        ([b"\xc1", b""], "not a msgpack"),
        ([msgpack.packb([1]), b""], "list"),
        ([msgpack.packb({**GOOD, "v": 1}), b""], "version v=1; this program reads 2"),
        ([msgpack.packb({**GOOD, "v": 3}), b""], "version v=3; this program reads 2"),
        ([msgpack.packb({"v": 2, "channels": 1}), b""], "sample_rate"),
        ([msgpack.packb({**GOOD, "sample_rate": 0}), b""], "sample_rate=0"),
        ([msgpack.packb({**GOOD, "sample_rate": "16000"}), b""], "sample_rate='16000'"),
        ([msgpack.packb({**GOOD, "channels": 0}), b""], "channels=0"),
        ([msgpack.packb({**GOOD, "channels": 10**6}), b""], "channels=1000000"),
        ([msgpack.packb({**GOOD, "format": "mp3"}), b""], "format='mp3'"),
        ([msgpack.packb({**GOOD, "first_sample": -1}), b""], "first_sample=-1"),
        ([msgpack.packb({**GOOD, "seq": 1.5}), b""], "seq=1.5"),
        ([msgpack.packb({**GOOD, "end": 1}), b""], "end=1"),
        ([msgpack.packb(GOOD), b"123"], "whole number"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_a_malformed_block_is_refused_and_the_next_is_heard(frames: list[bytes], said: str) -> None:
    with sending() as (node, listener, sender, scheduler):
        sender.send(0, pcm(np.full(100, 0.5)))
        for _ in range(3):
            sender.socket.send_multipart(frames)
        sender.send(100, pcm(np.full(100, 0.5)), end=True)
        assert scheduler.wait(PATIENCE_S)
        assert len(listener.samples) == 200
        assert not listener.gaps
        assert node.statistics()["refused_blocks"] == 3
        (warning,) = node.statistics()["warnings"]
        assert said in one_line(warning)
        assert node.address in warning


STRANGERS = {
    "http": b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\n" + b"x" * 99,
    "tls": bytes.fromhex("16030100a5010000a10303") + b"x" * 160,
    "zmtp-1": b"\x01\x00" + b"\x06\x01first" + b"\x07\x00second",
    "ssh": b"SSH-2.0-OpenSSH_9.6\r\n" + b"x" * 100,
}


@pytest.mark.parametrize("greeting", STRANGERS.values(), ids=list(STRANGERS))
def test_what_does_not_speak_zeromq_is_turned_away(greeting: bytes) -> None:
    with sending() as (node, listener, sender, scheduler):
        sender.send(0, pcm(np.full(100, 0.5)))
        port = int(node.address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as stranger:
            stranger.sendall(greeting)
            with suppress(ConnectionError):  # hung up, or reset with our bytes unread
                while stranger.recv(100):
                    pass
        sender.send(100, pcm(np.full(100, 0.5)), end=True)
        assert scheduler.wait(PATIENCE_S)
        assert len(listener.samples) == 200
        assert node.refused == 0


def test_a_second_sender_is_refused_while_the_first_is_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("auricle.nodes.inputs.zmq.SENDER_GONE_S", 1e9)
    with sending() as (node, listener, sender, scheduler):
        sender.send(0, pcm(np.full(100, 0.5)))
        listener.wait_for(lambda: listener.tokens)
        second = Sender(node.address)
        second.send(0, pcm(np.full(100, 0.25)))
        wait_until(lambda: node.refused > 0)
        sender.send(100, pcm(np.full(100, 0.5)), end=True)
        assert scheduler.wait(PATIENCE_S)
        second.socket.close()
        assert listener.samples.tolist() == [0.5] * 200
        assert not listener.gaps
        (warning,) = node.warnings
        assert "a second sender; give each its own input" in warning


def test_another_sender_takes_the_place_of_one_that_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("auricle.nodes.inputs.zmq.SENDER_GONE_S", 0.0)
    with sending() as (node, listener, sender, scheduler):
        sender.send(7000, pcm(np.full(100, 0.5)))
        listener.wait_for(lambda: listener.tokens)
        second = Sender(node.address)
        # Its numbers would be a hole of 900 samples, were it the same sender.
        second.send(8000, pcm(np.full(100, 0.25)), end=True)
        assert scheduler.wait(PATIENCE_S)
        second.socket.close()
        assert listener.reasons() == ["reconnect"]
        assert listener.samples[-100:].tolist() == [0.25] * 100


def test_the_end_of_a_sender_is_not_the_end_of_the_stream() -> None:
    with sending(ends=False) as (node, listener, sender, scheduler):
        sender.send(0, pcm(np.full(100, 0.5)), end=True)
        listener.wait_for(lambda: len(listener.tokens) == 100)
        second = Sender(node.address)
        second.send(0, pcm(np.full(100, 0.25)), end=True)
        listener.wait_for(lambda: listener.tokens.get(len(listener.tokens) - 1) == 0.25)
        second.socket.close()
        assert listener.reasons() == ["reconnect"]
        assert not scheduler.runs[0].over


def test_an_address_of_ip_version_6() -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    with sending(address="tcp://[::1]:*") as (node, listener, sender, _):
        assert node.address.startswith("tcp://[::1]:")
        sender.send(0, pcm(np.full(100, 0.5)), end=True)
        listener.wait_for(lambda: len(listener.tokens) == 100)


def test_while_nobody_sends_it_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auricle.nodes.inputs.zmq.SILENT_S", 0.2)
    outages = Outages()
    node = ZmqInput("zmq", address="tcp://127.0.0.1:*")
    with listening(node, outages=outages):
        assert outages.next_reason() == f"{node.address}: no sender yet"
        sender = Sender(node.address)
        sender.send(0, pcm(np.full(100, 0.5)))
        assert outages.next() is None
        assert outages.next_reason() == f"{node.address}: its sender is silent"
        sender.send(100, pcm(np.full(100, 0.5)))
        assert outages.next() is None
        sender.send(200, b"", end=True)
        while (reason := outages.next_reason()) != f"{node.address}: its sender has ended":
            assert "silent" in reason
        second = Sender(node.address)
        second.send(0, pcm(np.full(100, 0.25)))
        assert outages.next() is None
        for each in (sender, second):
            each.socket.close()


def test_port_in_use() -> None:
    with sending() as (node, _, _, _):
        second = ZmqInput("second", address=node.address)
        with pytest.raises(InputError) as caught:
            second.start()
        assert node.address in one_line(str(caught.value))
        assert "in use" in str(caught.value)
        second.stop()


@pytest.mark.parametrize("address", ["tcp://0.0.0.0:5690", "tcp://*:5690", "tcp://192.0.2.1:5690"])
def test_open_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ZmqInput("zmq", address=address).start()
    assert address in one_line(str(caught.value))


@pytest.mark.parametrize("address", ["tcp://127.0.0.1", "nonsense", "tcp://127.0.0.1:70000"])
def test_no_address(address: str) -> None:
    with pytest.raises(WireError) as caught:
        ZmqInput("zmq", address=address).start()
    assert address in one_line(str(caught.value))


def test_of_a_hole_of_an_hour_only_some_seconds_are_played() -> None:
    """So that what the sender sends next is heard, in its place."""
    hole, played = 3600 * 16000, ZmqInput.longest_silence_s * 16000
    with sending(2**31 - 5) as (node, listener, sender, scheduler):
        sender.send(1000, pcm(np.full(4000, 0.5)))
        listener.wait_for(lambda: len(listener.tokens) == 4000)
        for number in range(20):
            sender.send(5000 + hole + number * 320, pcm(np.full(320, 0.25)), end=number == 19)
        assert scheduler.wait(PATIENCE_S)
    (gap,) = listener.gaps
    assert gap.reason == "hole"
    assert gap.source == (5000, 5000 + hole)
    assert gap.stop - gap.start == played
    assert len(listener.samples) == 4000 + played + 20 * 320
    assert (listener.samples[-20 * 320 :] == 0.25).all()
    assert node.statistics()["lost_samples"] == hole
    stream = node.audio.stream
    first, last = (stream.span(stream.start + index)[0] for index in (3999, 4000 + played))
    assert (first, last) == (4999, 5000 + hole)
    assert stream.span(stream.start + 3999) == (4999, 5000), "it ends before the hole"
    assert stream.span(gap.stop - 1) == (4999 + hole, 5000 + hole), "silence is the end of the hole"
