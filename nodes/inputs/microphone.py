"""The node that listens to a sound device."""

from __future__ import annotations

import random
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from pydantic import Field

from auricle.engine.context import Outage
from auricle.errors import AuricleError
from auricle.nodes.inputs.base import InputParams, ThreadedInput
from auricle.nodes.inputs.capture import Format, Request
from auricle.nodes.inputs.capture_process import OPEN_S, Block, CaptureProcess, DeviceLostError
from auricle.nodes.inputs.devices import fingerprint

POLL_S = 0.1
"""Seconds after which a read that waits looks whether the input was stopped."""

LOST_S = 2.0
"""Seconds without a block after which the device counts as gone."""

LOOK_S = 2.0
"""Seconds between two looks, in a longer pause, at whether something was plugged in."""


class MicrophoneParams(InputParams):
    """Parameters of `Microphone`."""

    device: str | None = Field(
        None,
        description="Name as `auricle devices` shows it; the system's default, if left out.",
    )
    channels: int | None = Field(
        None, gt=0, le=256, description="Channels to mix; the first two that it has, if left out."
    )
    device_rate: int | None = Field(
        None,
        gt=0,
        le=1_000_000,
        description="Rate to open it at, Hz; its default rate, if left out.",
    )
    block_size: int = Field(
        0, ge=0, le=1_000_000, description="Frames of a block; 0 leaves it to the system."
    )
    reconnect: bool = Field(
        True, description="Wait for a device that is absent or lost, instead of failing."
    )


class Microphone(ThreadedInput[MicrophoneParams]):
    """A microphone, a line-in or what the computer plays, by name.

    The device is opened by a process of its own, which is replaced when the device is lost: when
    it was unplugged, its sound server was restarted, or nothing came for two seconds. The node
    waits for a device that is absent, at the start, too, and tries again after the pauses of its
    context, or as soon as the system shows another sound card or source. The time between is a gap
    that makes index and clock agree again.

    The capture process belongs to the capture thread alone; see `ThreadedInput`.

    Attributes:
        format: What was opened last; None before. Written on the capture thread.

    Raises, from `process`:
        InputError: PortAudio is not installed, or the device was lost and `reconnect` is false.
        ConfigError: The name is that of several devices, or the device cannot be opened with these
            parameters.
    """

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        self.live = True
        self.format: Format | None = None
        # Used on the capture thread only: the place on the device's clock at which the next block
        # is due, None before the first of a process; seconds heard from the last process.
        self._next_adc_s: float | None = None
        self._good_s = 0.0
        self._tries = 0  # since there was good audio, or since the system last changed

    @property
    def origin(self) -> tuple[str, Path | None]:
        return "mic", None

    def capture(self) -> None:
        backoff = self.context.backoff
        while not self.stopping.is_set():
            seen = fingerprint()
            try:
                self._record()
            except AuricleError as error:
                # Once it has been heard, what it lacks may come back.
                passing = isinstance(error, DeviceLostError) or self._has_heard
                if not passing or not self.params.reconnect:
                    raise
                if self._good_s >= backoff.good_after_s:
                    self._tries = 0
                pause_s = backoff.pause_s(self._tries, random.random())
                self._tries += 1
                self.context.report_outage(Outage(error.message, time.time() + pause_s))
                self._wait(pause_s, seen)

    def statistics(self) -> dict[str, Any]:
        return {**super().statistics(), "device": self.format.device if self.format else None}

    @property
    def _has_heard(self) -> bool:
        return self._resampler is not None

    def _record(self) -> None:
        """Listen until the input is stopped.

        Raises:
            DeviceLostError: The device is absent, or was lost.
            InputError: PortAudio is not installed.
            ConfigError: The parameters do not fit the device.
        """
        self._next_adc_s, self._good_s = None, 0.0
        params = self.params
        request = Request(params.device, params.channels, params.device_rate, params.block_size)
        with closing(CaptureProcess(request)) as process:
            began, opened = time.monotonic(), None
            while opened is None and not self.stopping.is_set():
                opened = process.wait_for_format(POLL_S)
                self._check_silence(began, OPEN_S)
            last = time.monotonic()
            while opened is not None and not self.stopping.is_set():
                block = process.read(POLL_S)
                if block is None:
                    self._check_silence(last, LOST_S if self._good_s else OPEN_S)
                    continue
                self._take(block, opened)
                last = time.monotonic()

    def _check_silence(self, since: float, most_s: float) -> None:
        if time.monotonic() - since > most_s:
            name = self.params.device or "the default sound device"
            device = self.format.device if self.format else name
            raise DeviceLostError(f"{device}: nothing was heard for {most_s:.0f} s")

    def _take(self, block: Block, opened: Format) -> None:
        """Hear a block, after marking what was lost before it."""
        count, rate = len(block.samples), opened.sample_rate
        if self._next_adc_s is None:
            self._begin(block, opened)
        elif block.dropped:
            self._lose(block.dropped, "dropped")
            self._next_adc_s += block.dropped / rate
        if block.overflowed:
            # The device's clock says how much that was; without one, it was a block at least.
            due_s = block.adc_s if self._next_adc_s is None else self._next_adc_s
            self._lose(max(count, round((block.adc_s - due_s) * rate)), "xrun")
        self._next_adc_s = block.adc_s + count / rate
        self._good_s += count / rate
        self._write_all(block.arrived_ns)
        if not self.stopping.is_set():
            self._hear(block.samples, block.arrived_ns)
            self._write_all(block.arrived_ns)

    def _begin(self, block: Block, opened: Format) -> None:
        """Take up a device that was opened, with its first block; lost time becomes a gap."""
        clock = self.clock
        due_s = clock.least_delay_s if self._has_heard else None
        self._open(opened.sample_rate)
        if due_s is not None:
            began_s = block.arrived_ns / 1e9 - len(block.samples) / opened.sample_rate
            gap_s = began_s - due_s - float(self._heard / clock.sample_rate)
            clock.forget()
            self._lose_seconds(max(0.0, gap_s), "reconnect")
        self.format = opened
        self.context.report_outage(None)

    def _wait(self, pause_s: float, seen: object) -> None:
        """Wait before the device is opened again, less long if the system shows a change.

        Args:
            pause_s: Longest time to wait, seconds.
            seen: `fingerprint` from before the device was last opened.
        """
        until = time.monotonic() + pause_s
        while (left_s := until - time.monotonic()) > 0:
            if not self._unless_stopping(min(left_s, LOOK_S)):
                return
            if fingerprint() != seen:
                self._tries = 0
                return
