"""Quotas of containers, in the files of both versions of Linux's control groups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from auricle.engine import scheduler
from auricle.engine.cpu_quota import cpu_quota


def group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


@pytest.mark.parametrize(
    ("limit", "quota"), [("200000 100000\n", 2), ("50000 100000\n", 0.5), ("max 100000\n", None)]
)
def test_version_2(tmp_path: Path, limit: str, quota: float | None) -> None:
    group(tmp_path / "groups", cpu__max=limit)
    (tmp_path / "own").write_text("0::/\n")
    assert cpu_quota(tmp_path / "groups", tmp_path / "own") == quota


def test_a_group_is_limited_by_those_around_it(tmp_path: Path) -> None:
    group(tmp_path / "groups/pod", cpu__max="300000 100000")
    group(tmp_path / "groups/pod/one", cpu__max="max 100000")
    (tmp_path / "own").write_text("0::/pod/one\n")
    assert cpu_quota(tmp_path / "groups", tmp_path / "own") == 3


def test_version_1(tmp_path: Path) -> None:
    files = {"cpu__cfs_quota_us": "150000\n", "cpu__cfs_period_us": "100000\n"}
    group(tmp_path / "groups/cpu,cpuacct/docker", **files)
    (tmp_path / "own").write_text("4:memory:/docker\n3:cpu,cpuacct:/docker\n1:name=systemd:/\n")
    assert cpu_quota(tmp_path / "groups", tmp_path / "own") == 1.5
    group(tmp_path / "groups/cpu,cpuacct/docker", cpu__cfs_quota_us="-1\n")
    assert cpu_quota(tmp_path / "groups", tmp_path / "own") is None


def test_no_control_groups(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path, tmp_path / "none") is None
    (tmp_path / "own").write_text("0::/elsewhere\n")
    assert cpu_quota(tmp_path / "none", tmp_path / "own") is None


@pytest.mark.parametrize(("quota", "cores"), [(None, 4), (0.5, 1), (1.5, 2), (2, 2), (64, 4)])
def test_usable_cores(monkeypatch: pytest.MonkeyPatch, quota: float | None, cores: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)), raising=False)
    monkeypatch.setattr(scheduler, "cpu_quota", lambda: quota)
    assert scheduler.usable_cores() == cores
