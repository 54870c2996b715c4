"""The forge runs `.ci/run` with every Python that it knows."""

from __future__ import annotations

import re

import yaml

from tests.packaging.sources import ROOT


def test_the_workflow_installs_what_ci_looks_for() -> None:
    text = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    job = yaml.safe_load(text)["jobs"]["everything"]
    (versions,) = (
        step["with"]["python-version"].split()
        for step in job["steps"]
        if "setup-python" in step.get("uses", "")
    )
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    main = re.findall(r"^MAIN=(\S+)$", script, re.MULTILINE)
    others = re.findall(r"^OTHERS=\((.*)\)$", script, re.MULTILINE)[0].split()
    assert sorted(versions) == sorted([*main, *others])
    assert ".ci/run" in [step.get("run") for step in job["steps"]]
    systems = {entry["os"].partition("-")[0] for entry in job["strategy"]["matrix"]["include"]}
    assert systems == {"ubuntu", "macos"}
