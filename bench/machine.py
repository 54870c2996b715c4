"""Where something was measured: the machine, versions, the commit."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    *("auricle", "av", "msgpack", "numba", "numpy", "onnxruntime", "pyzmq", "scipy", "soxr"),
    *("onnxruntime-gpu", "tensorrt", "torch", "torch-tensorrt"),
)
"""Packages whose version affects some figure."""

CHECKOUT = Path(__file__).resolve().parents[1]
"""The source tree, the bench being part of no other."""


def machine() -> dict[str, Any]:
    """Processor, number of cores, memory in GiB, system, and load; None for what is unknown."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "memory_gib": _memory_gib(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load_average": list(os.getloadavg()),
    }


def resident_mb() -> float:
    """Resident memory of this process, in MB (10^6 bytes). Linux only."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def peak_mb() -> float:
    """Largest resident memory that this process has had, in MB (10^6 bytes). Linux only."""
    # getrusage's maximum starts with that of the parent.
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (peak,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(peak.split()[1]) * 1024 / 1e6


def versions() -> dict[str, str | None]:
    """Version of Python and of `PACKAGES`; None for those that are not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def commit() -> dict[str, Any]:
    """The commit of the checkout.

    Returns:
        `hash`, and whether the checkout is `dirty`: tracked files other than results of the bench
        differ from it. Both are None without git.
    """
    if not in_checkout():
        return {"hash": None, "dirty": None}
    try:
        head = _git("rev-parse", "HEAD")
        changes = _git(
            "status", "--porcelain", "--untracked-files=no", "--", ".", ":!bench/results"
        )
        return {"hash": head, "dirty": bool(changes)}
    except (OSError, subprocess.CalledProcessError):
        return {"hash": None, "dirty": None}


def in_checkout() -> bool:
    """Whether the source tree is a git checkout."""
    return (CHECKOUT / ".git").exists()


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(CHECKOUT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _cpu() -> str | None:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or None


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError):
        return None
