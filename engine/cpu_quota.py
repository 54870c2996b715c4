"""The share of the machine's time that a container is given, which is not seen in its cores."""

from __future__ import annotations

from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
"""Where Linux shows control groups."""

OWN = Path("/proc/self/cgroup")
"""The control groups of this process, a line each: `hierarchy:controllers:path`."""


def cpu_quota(mount: Path = MOUNT, own: Path = OWN) -> float | None:
    """Seconds of CPU time that this process gets in a second; None without a limit.

    Args:
        mount: Folder of the control groups.
        own: File that names those of the process.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return None
    quotas = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "cpu", "cpu,cpuacct"):
            top = mount / controllers
            # A group is limited by those that it is in; a container may see itself as the top.
            groups = [top / path.lstrip("/"), *(top / path.lstrip("/")).parents]
            quotas += [quota for group in groups if (quota := _quota_of(group)) is not None]
    return min(quotas, default=None)


def _quota_of(group: Path) -> float | None:
    """The limit of one group, as either version of control groups states it."""
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota = (group / "cpu.cfs_quota_us").read_text()
            period = (group / "cpu.cfs_period_us").read_text()
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):  # no limit: "max" or -1, or no such file
        return None
