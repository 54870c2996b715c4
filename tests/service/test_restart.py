"""The policy of starting streams again: which runs, after which pause."""

from __future__ import annotations

from pathlib import Path

import pytest

from auricle.engine.graph import Graph
from auricle.engine.run import Run, State
from auricle.errors import AuricleError, ConfigError, InputError
from auricle.service.graph_file import read_graph_file
from auricle.service.restart import RestartPolicy, policy_of
from tests.toys import Counter

GRAPH = """
stream: test
nodes: [{id: a, class: "tests.toys:Counter"}]
edges: []
"""


def ended(state: State, error: AuricleError | None = None) -> Run:
    run = Run(Graph("g", [Counter("a")], []))
    run.state, run.error = state, error
    return run


@pytest.mark.parametrize(
    ("when", "wanted"),
    [("never", []), ("on-error", ["broken"]), ("always", ["broken", "finished"])],
)
def test_which_runs_are_followed_by_another(when: str, wanted: list[str]) -> None:
    runs = {
        "broken": ended(State.FAILED, InputError("the line was cut")),
        "misconfigured": ended(State.FAILED, ConfigError("no such device")),
        "finished": ended(State.FINISHED),
        "stopped": ended(State.STOPPED),
    }
    policy = policy_of(when)
    assert [name for name, run in runs.items() if policy.wants(run)] == wanted


def test_the_pause_doubles_up_to_the_longest() -> None:
    policy = RestartPolicy(when="always", first_pause_s=1, longest_pause_s=10)
    backoff = policy.backoff
    assert [backoff.pause_s(n, chance=1) for n in range(6)] == [1, 2, 4, 8, 10, 10]
    assert backoff.pause_s(10**6, chance=1) == 10


def test_chance_spreads_tries_over_the_whole_pause_but_for_its_beginning() -> None:
    backoff = RestartPolicy(first_pause_s=4).backoff
    assert [backoff.pause_s(0, chance) for chance in (0, 0.1, 0.5, 1)] == [0.4, 0.4, 2, 4]


def test_a_graph_file_has_a_word_or_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "graph.yaml"
    path.write_text(GRAPH)
    assert policy_of(read_graph_file(path).restart) == RestartPolicy()
    path.write_text(GRAPH + "restart: on-error\n")
    assert policy_of(read_graph_file(path).restart) == RestartPolicy(when="on-error")
    path.write_text(GRAPH + "restart: {when: always, longest_pause_s: 5}\n")
    expected = RestartPolicy(when="always", longest_pause_s=5)
    assert policy_of(read_graph_file(path).restart) == expected


@pytest.mark.parametrize(
    ("restart", "message"),
    [
        ("sometimes", "restart.word='sometimes': input should be 'never', 'on-error' or 'always'"),
        ("{when: always, first_pause_s: 0}", "restart.policy.first_pause_s=0: "),
        ("{pause: 3}", "no parameter 'restart.policy.pause'"),
        ("{longest_pause_s: 0.5}", "longest_pause_s=0.5 must not be less than first_pause_s=1"),
    ],
)
def test_bad_policies_are_one_line(tmp_path: Path, restart: str, message: str) -> None:
    path = tmp_path / "graph.yaml"
    path.write_text(f"{GRAPH}restart: {restart}\n")
    with pytest.raises(ConfigError) as caught:
        read_graph_file(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
