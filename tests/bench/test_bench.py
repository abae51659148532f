"""The benchmark itself: that it runs, that its load generator is not easily pleased, and that it
judges rightly. No figure is judged here."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree

import pytest

from bench import instructions, judge, load, measure
from bench.measure import Bench, Figures
from bench.rows import SMALL, Goal, Row
from bench.servers import OURS, SERVERS
from support.setup import DEFAULT_POLICY, body_of
from support.tree import ROOT

HOST = "mta-sts.example.com"


@pytest.fixture
def served(start, setup, tmp_path):
    """A running server, and a function that makes a load for it."""
    setup.certify("example.com")
    server = start(setup.write(["example.com"], workers=1))
    body = tmp_path / "body"

    def load_of(host=HOST, expected=body_of(DEFAULT_POLICY), **options):
        hosts = tmp_path / "hosts"
        hosts.write_text(host + "\n")
        body.write_bytes(expected)
        return load.Load(server.port, hosts, body, **options)

    return load_of


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
def test_right_answers_count(served, tls):
    said = served(tls=tls).count(5)
    assert (said["fetches"], said["failures"]) == (5, 0)
    assert said["latency_us"]["most"] >= said["latency_us"]["median"] > 0


def test_wrong_body_is_a_failure(served):
    with pytest.raises(load.Failed, match="5 of 5 .*: the body is another"):
        served(expected=body_of(DEFAULT_POLICY).replace(b"enforce", b"testing")).count(5)


def test_longer_body_is_a_failure(served):
    with pytest.raises(load.Failed, match="the body is another"):
        served(expected=body_of(DEFAULT_POLICY) + b"\r\n").count(1)


def test_refused_name_is_a_failure(served):
    with pytest.raises(load.Failed, match="unrecognized name"):
        served(host="mta-sts.example.net").count(1)


def test_held_connections_are_open(served):
    generator = served().hold(5)
    assert generator.end() == {"open": 5}


def test_steady_load_goes_on_until_its_end(served):
    with served().steady(200) as beside:
        served().count(5)
        said = beside.end()
    assert said["fetches"] > 0 and said["failures"] == 0


def row(goal):
    return Row("name", "title", "µs", goal)


def figures(**samples):
    return {name: Figures(values) for name, values in samples.items()}


@pytest.mark.parametrize(
    "goal, results, best, met",
    [
        (Goal(0.8, relative=True), figures(ours=[8], nginx=[10], caddy=[20]), "nginx", True),
        (Goal(0.8, relative=True), figures(ours=[9], nginx=[10], caddy=[20]), "nginx", False),
        (Goal(0.8, relative=True), figures(ours=[8]), None, None),
        (Goal(1), figures(ours=[1.1], nginx=[25]), "nginx", False),
        (Goal(1), figures(ours=[0.9], nginx=[25]), "nginx", True),
        (Goal(0, each=True), figures(ours=[0, 0, 0], nginx=[1]), "nginx", True),
        (Goal(0, each=True), figures(ours=[0, 0, 1], nginx=[1]), "nginx", False),
        (Goal(1.8, at_least=True), figures(ours=[1.7]), None, False),
        (Goal(1.8, at_least=True), figures(ours=[1.9]), None, True),
        (Goal(1), {"ours": Figures([0.5], "a later one failed")}, None, False),
        (Goal(1), {"ours": Figures([], "did not start")}, None, False),
        (None, figures(ours=[1]), None, None),
    ],
)
def test_goal(goal, results, best, met):
    judged = judge.judge(row(goal), results)
    assert (judged.best, judged.met) == (best, met)


def test_ratio_is_of_pairs():
    """Each has ours of the moment before, whatever ours was at other times."""
    figures_of = {"ours": Figures([1, 30, 2]), "nginx": Figures([10, 20], ours_beside=[1, 2])}
    assert judge.judge(row(None), figures_of).entries[1].ratio == 0.1


def test_figures_are_of_the_usual_speed():
    """While the machine was half as fast, a fetch took twice the time."""
    context = Bench([OURS], None, SMALL, lambda text: None)
    nginx = SERVERS["nginx"]
    measure._normalise(context, "row", [(OURS, 1e-6, 1, None), (nginx, 3e-6, 1, 0),
                                        (OURS, 2e-6, 2, None), (nginx, 5e-6, 1, 2)])
    assert context.figures("row", OURS).samples == pytest.approx([1, 1])
    assert context.figures("row", nginx).samples == pytest.approx([3, 5])
    assert context.figures("row", nginx).ours_beside == pytest.approx([1, 1])


def test_calibration_grows_with_the_work():
    assert load.calibrate(40) > load.calibrate(4) > 0


def test_group_is_the_one_that_was_asked_for(served):
    for tls in ("1.2", "1.3"):
        assert served(tls=tls, group="P-256").count(3)["fetches"] == 3


def test_ratio_is_of_the_same_round():
    """A slow round is slow for both, and says nothing about either."""
    judged = judge.judge(row(None), figures(ours=[1, 10, 1], nginx=[2, 20, 2]))
    assert [entry.ratio for entry in judged.entries] == [None, 0.5]


def test_failure_is_told_beside_earlier_samples():
    """Ours that fails once has not met its goal, however good the rest was."""
    context = Bench([OURS], None, SMALL, lambda text: None)
    context.figures("row", OURS).samples.append(1.0)

    def fail():
        raise load.Failed("one of five")

    assert not context.attempt(OURS, ["row"], fail)
    judged = judge.judge(row(Goal(2)), context.results["row"])
    assert (judged.ours.median, judged.ours.failed, judged.met) == (1.0, "one of five", False)


def test_counter_counts():
    """By the clock of a task, which perf has on every machine, as instructions are not."""
    if not instructions.possible("task-clock"):
        pytest.skip("no perf, or it may not look at processes here")
    with instructions.Counter([os.getpid()], "task-clock") as counter:
        assert sum(range(100000)) > 0
    assert counter.value > 0


def test_counter_of_nobody_has_no_value():
    if not instructions.possible("task-clock"):
        pytest.skip("no perf, or it may not look at processes here")
    with instructions.Counter([2**22], "task-clock") as counter:
        pass
    assert counter.value is None


def test_it_runs(program, tmp_path):
    """As little of each measurement as there can be, beside nginx where that is installed."""
    generator = tmp_path / "bench" / "load"
    generator.parent.mkdir()
    generator.symlink_to(load.GENERATOR)
    environment = {
        **os.environ,
        "BUILD": str(tmp_path),
        "MTA_STS_HTTPD": str(program),
        "BENCH_SMALL": "1",
        "BENCH_ROWS": "fetch13 exchange12 single silent many shared size",
        "BENCH_PEERS": "nginx",
    }
    done = subprocess.run(
        [sys.executable, "-m", "bench"],
        cwd=ROOT / "tests",
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    rows = json.loads((tmp_path / "bench" / "results.json").read_text())["rows"]
    found = {one["name"]: one["servers"] for one in rows}
    assert {"fetch13", "single-start", "many-memory", "reload", "shared-start"} <= set(found)
    for name, servers in found.items():
        for server, said in servers.items():
            allowed = [None] if os.geteuid() == 0 else [None, "only root may look at its memory"]
            assert said["samples"] or said["failed"], (name, server)
            assert said["failed"] in allowed, (name, server, said)
    assert found["reload-errors"]["ours"]["median"] == 0
    assert ("nginx" in found["fetch13"]) == (SERVERS["nginx"].program is not None)
    xml.etree.ElementTree.parse(tmp_path / "bench" / "results.svg")
    assert "# Results" in (tmp_path / "bench" / "RESULTS.md").read_text()
