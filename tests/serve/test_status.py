"""The command reload, and the status file by which it learns what became of the load."""

import contextlib
import os
import re
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from support import tree
from support.server import Server, run
from support.setup import DEFAULT_POLICY, replace_file
from support.wait import until

OTHER = {"mode": "testing", "max_age": "1d", "mx": ["other.example.com"]}
BROKEN = {"mode": "enforce", "max_age": "2w", "mx": ["mail_1.example.com"]}
FAULT = r"mail_1\.example\.com"
ADVICE = r"^\s+(why|fix): "


def reload(setup, *operands, status=0, **options):
    """Runs the command; what it says, on both outputs, by line."""
    done = run("reload", "-c", setup.config, *operands, **options)
    out, err = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == status, (done.returncode, out, err)
    return out.splitlines(), err.splitlines()


def wait_generation(server, number):
    return server.wait_line(rf"ready: generation {number},")


def status_file(server):
    """The file that the server holds, found as a stranger would: by what it says."""

    def find():
        for path in Path("/run/mta-sts").glob("status*"):
            with contextlib.suppress(FileNotFoundError):  # another server may end
                if f"\npid: {server.pid}\n" in path.read_text():
                    return path
        return None

    return until(find, "the status")


@pytest.fixture(name="served")
def fixture_served(setup, start):
    """A server with two domains of its main file and a folder of drop-ins."""
    names = ["example.com", "example.net", *[f"d{i:02}.example" for i in range(12)]]
    setup.certify(*names)
    (setup.root / "d").mkdir()
    setup.write(names[:2], include="d/*.yaml")
    setup.server = start(setup.config)
    return setup


def drop_in(setup, domain, policy=None):
    path = setup.root / "d" / f"{domain}.yaml"
    replace_file(path, f"domains: {{{domain}: {'default' if policy is None else policy!r}}}\n")
    return path


def test_tells_what_has_changed(served):
    drop_in(served, "d00.example")
    out, err = reload(served)
    assert err == []
    assert out == [
        "serves generation 2, 2 workers, 3 domains",
        "1 domain added (d00.example)",
    ]
    drop_in(served, "d00.example", OTHER)
    out, _ = reload(served)
    assert out[1:] == ["1 domain with another policy (d00.example)"]
    (served.root / "d" / "d00.example.yaml").unlink()
    out, _ = reload(served)
    assert out[1:] == ["1 domain removed (d00.example)"]
    assert reload(served)[0][1:] == ["no domain has changed"]
    wait_generation(served.server, 5)
    assert any(
        re.search(r"^mta-sts-httpd: 1 domain added \(d00\.example\); ready: generation 2,", line)
        for line in served.server.lines
    )


def test_names_ten_and_counts_the_rest(served):
    for i in range(12):
        drop_in(served, f"d{i:02}.example")
    out, _ = reload(served)
    names = ", ".join(f"d{i:02}.example" for i in range(10))
    assert out[1] == f"12 domains added ({names} and 2 more)"
    assert served.server.wait_line(rf": 12 domains added \({names} and 2 more\); ready: generation 2,")


def test_new_certificate_is_told(served):
    served.certify("example.net", "other.example", end=300)
    until(lambda: served.server.lines[-1].startswith("mta-sts-httpd: 1 domain with"), "the renewal")
    served.server.expect("certificates have changed")
    assert " domain with a new certificate (example.net); ready: " in served.server.lines[-1]


def test_refusal_is_told_with_its_reason(served):
    good = served.config.read_text()
    served.server.expect("unknown key", "did you mean", "reload refused", ADVICE)
    replace_file(served.config, good.replace("domains:", "domians:"))
    out, err = reload(served, status=1)
    assert out == []
    assert "unknown key" in err[0] and err[-1] == "reload refused: generation 1 is still served"
    # What was said in the log is what is said here.
    assert [line.removeprefix("mta-sts-httpd: error: ") for line in served.server.lines[1:]] == err
    # It is refused for every domain, and says what is served of them.
    out, err = reload(served, "example.com", status=1)
    assert re.fullmatch(r"example\.com: served, id \d{18}", out[0]) and "unknown key" in err[0]
    replace_file(served.config, good)
    assert reload(served)[0][0].startswith("serves generation 2,")


def test_reason_that_no_file_has_is_told_too(served, start):
    """Another process has the new address."""
    with Server.running(served.config) as other:
        taken = other.port
        served.server.expect("cannot listen", "address", "reload refused", ADVICE)
        good = served.config.read_text()
        replace_file(served.config, good.replace("127.0.0.1:0", f"127.0.0.1:{taken}"))
        _, err = reload(served, status=1)
        assert any(str(taken) in line for line in err[:-1]), err
        replace_file(served.config, good)
        reload(served)


def test_only_the_named_domain_is_judged(served):
    drop_in(served, "d00.example")
    drop_in(served, "d01.example")
    reload(served)
    drop_in(served, "d01.example", BROKEN)
    served.server.expect(FAULT, ADVICE)
    out, err = reload(served, "d00.example")
    assert len(out) == 1 and out[0].startswith("d00.example: served, id ") and err == []
    out, err = reload(served, "D01.example.", status=1)
    assert re.fullmatch(
        r'D01\.example: stale, id \d{18}: "mta-sts-httpd check D01\.example" says why', out[0]
    )
    assert err == []
    out, err = reload(served, "example.com", "no.example", status=1)
    assert len(out) == 1 and 'domain "no.example" is not served' in err[0]
    # Without names the load was good, and not all is as configured.
    out, _ = reload(served, status=3)
    assert out[0].endswith("3 domains (1 stale)") or out[0].endswith("4 domains (1 stale)")


def test_domain_without_certificate_is_pending(served):
    drop_in(served, "late.example")
    served.server.expect("no certificate with its key covers", ADVICE)
    out, _ = reload(served, "late.example", status=3)
    assert out[0].startswith("late.example: no-certificate, id ")
    reload(served, "late.example", "no.example", status=1)


def test_many_at_once_each_see_their_change(served):
    """Signals coalesce, and no command takes a load for its own that began before."""
    for turn in range(3):
        running = []
        for i in range(4):
            name = f"d{turn * 4 + i:02}.example"
            drop_in(served, name)
            command = [str(tree.program()), "reload", "-c", str(served.config), name]
            running.append((name, subprocess.Popen(command, stdout=subprocess.PIPE, text=True)))
        for name, process in running:
            out, _ = process.communicate(timeout=60)
            assert process.returncode == 0 and out.startswith(f"{name}: served, id "), out


def test_renewal_does_not_hide_a_refusal(served):
    """A refused load is followed at once by one of the certificates alone, which is good."""
    served.server.expect("unknown key", "did you mean", "reload refused", ADVICE)
    replace_file(served.config, served.config.read_text().replace("domains:", "domians:"))
    served.certify("example.net", "other.example", end=300)
    _, err = reload(served, status=1)
    assert err[-1] == "reload refused: generation 1 is still served"
    wait_generation(served.server, 2)
    text = status_file(served.server).read_text()
    assert "\nresult: refused\n" in text and "\ngeneration: 2\n" in text


def test_server_that_does_not_answer(served):
    os.kill(served.server.pid, signal.SIGSTOP)
    try:
        _, err = reload(served, "--timeout", "1s", status=1)
        assert "has not loaded in time" in err[0] and err[1].startswith("    fix: ")
    finally:
        os.kill(served.server.pid, signal.SIGCONT)
    wait_generation(served.server, 2)


def test_server_that_dies_meanwhile(setup, program):
    setup.certify("example.com")
    server = Server(setup.write(["example.com"]))
    try:
        server.wait_ready(1)
        os.kill(server.pid, signal.SIGSTOP)
        command = [str(program), "reload", "-c", str(setup.config)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            until(lambda: "SIGHUP" in pending(server.pid), "the signal")
            server.kill()
            _, err = process.communicate(timeout=60)
        assert process.returncode == 1 and "has ended before it had loaded" in err
        # Its file is there, and no server.
        _, err = reload(setup, status=1)
        assert "no server has it open" in err[0]
        with Server.running(setup.config):
            reload(setup)
    finally:
        server.kill()


def pending(pid):
    """The names of signals that wait for the process."""
    found = re.search(r"^ShdPnd:\t(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.M)
    return [one.name for one in signal.Signals if int(found[1], 16) >> (one - 1) & 1]


def test_no_server(setup):
    setup.write(["example.com"])
    out, err = reload(setup, status=1)
    assert out == [] and err[0].startswith(f"mta-sts-httpd: no running server is found that serves {setup.config}")
    assert err[1].startswith("    fix: ")


def test_file_is_gone_with_its_server(served):
    path = status_file(served.server)
    assert path.stat().st_mode & 0o777 == 0o640
    served.server.stop()
    assert not path.exists()


def test_one_configuration_named_in_two_ways(served, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(served.root)
    done = run("reload", "-c", link / served.config.name)
    assert done.returncode == 0, done.stderr
    done = run("reload", "-c", served.config.name, cwd=served.root)
    assert done.returncode == 0, done.stderr


def test_second_server_leaves_the_file_to_the_first(served):
    with Server.running(served.config) as second:
        reload(served)
        wait_generation(served.server, 2)
        assert second.generation == 1
    reload(served)


def test_place_of_the_file_can_be_chosen(setup, start, tmp_path):
    setup.certify("example.com")
    place = tmp_path / "place"
    server = start(setup.write(["example.com"]), arguments=["--status", place])
    reload(setup, "--status", place)
    wait_generation(server, 2)
    with Server.running(setup.config, arguments=["--status", place]) as other:
        other.expect("cannot write the status file .*: another server has it")
        reload(setup, "--status", place)
        wait_generation(server, 3)
    folder = tmp_path / "run"
    folder.mkdir()
    environment = {**os.environ, "RUNTIME_DIRECTORY": f"{folder}:/nowhere"}
    with Server.running(setup.config, environment=environment) as other:
        assert [path.name[:7] for path in folder.iterdir()] == ["status-"]
        reload(setup, env=environment)
        wait_generation(other, 2)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("kind", ["folder", "fifo", "link"])
def test_place_that_is_no_file(setup, start, tmp_path, kind):
    setup.certify("example.com")
    place, target = tmp_path / "place", tmp_path / "target"
    target.write_text("as it was\n")
    {"folder": place.mkdir, "fifo": lambda: os.mkfifo(place), "link": lambda: place.symlink_to(target)}[kind]()
    start(setup.write(["example.com"]), arguments=["--status", place], expect=["cannot write the status file"])
    assert target.read_text() == "as it was\n"
    _, err = reload(setup, "--status", place, "--timeout", "1s", status=1)
    assert str(place) in err[0]


def test_service_is_not_taken_for_another(served):
    """systemd says which process it means."""
    _, err = reload(served, status=1, env={**os.environ, "MAINPID": "1"})
    assert "another server than the service" in err[0]
    reload(served, env={**os.environ, "MAINPID": str(served.server.pid)})
    wait_generation(served.server, 2)


def test_damaged_status_is_not_believed(served):
    """As if the machine had stopped in the middle; the next load writes it anew."""
    path = status_file(served.server)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20] + b"x" * 20)
    os.kill(served.server.pid, signal.SIGSTOP)
    try:
        reload(served, "--timeout", "1s", status=1)
    finally:
        os.kill(served.server.pid, signal.SIGCONT)
    wait_generation(served.server, 2)
    reload(served)
    assert reload(served, "example.com")[0][0].startswith("example.com: served, id ")


def test_full_disk_is_told_once(setup, start, tmp_path):
    """Somebody else has filled the file system; the server serves on."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small file system")
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        setup.certify("example.com")
        server = start(
            setup.write(["example.com"]),
            arguments=["--status", place / "status"],
            expect=["cannot write the status in .*: No space left"],
        )
        (place / "filler").write_bytes(b"x" * 8192)
        names = [f"d{i:03}.example" for i in range(500)]
        server.expect("no certificate with its key", "more lines", ADVICE)
        setup.write(names)
        reload(setup, "--status", place / "status", "--timeout", "2s", status=1)
        server.wait_line("cannot write the status")
        assert len([line for line in server.lines if "cannot write the status" in line]) == 1
        setup.write(["example.com"])
        server.stop()
    finally:
        subprocess.run(["umount", place], check=True)


def test_wrong_usage(setup):
    setup.write(["example.com"], policies={"default": DEFAULT_POLICY})
    _, err = reload(setup, "--timeout", "soon", status=2)
    assert "not a duration" in err[0]
    begun = time.monotonic()
    reload(setup, "--json", status=2)
    assert time.monotonic() - begun < 30


CUSTOMERS = 5000


def timed(*arguments):
    """The completed command and its CPU time in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run(*arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.returncode, done.stdout.decode(), done.stderr.decode(), used


def test_five_thousand_customers(setup, start, capsys):
    """Of which 20 are broken and 5 emptied: who is asked about is told, and nobody else is touched."""
    folder = setup.root / "d"
    folder.mkdir()
    names = [f"c{i:04}.example" for i in range(CUSTOMERS)]
    for name in names:
        (folder / f"{name}.yaml").write_text(f"domains: {{{name}: }}\n")
    for i in range(0, CUSTOMERS, 100):
        setup.certify(*names[i : i + 100], folder=f"shared{i}")
    setup.certify("new.example")
    setup.write([], include="d/*.yaml")
    expect = [r": error: ", ADVICE, "more like this"]
    server = start(setup.config, expect=expect, seconds=60)
    broken, emptied, changed = names[:20], names[100:105], names[200]
    for number, name in enumerate(broken):
        text = f"domains: {{{name}: {{policy: default, mode: nun{number}, max_age: 3}}}}\n"
        (folder / f"{name}.yaml").write_text(text)
    for name in emptied:
        (folder / f"{name}.yaml").write_text("")
    (folder / f"{changed}.yaml").write_text(f"domains: {{{changed}: {{policy: default, mode: testing}}}}\n")
    (folder / "new.yaml").write_text("domains: {new.example: }\n")
    (folder / f"{names[-1]}.yaml").unlink()
    since = server.mark()

    figures = []

    def ask(*arguments, status):
        code, out, err, used = timed(arguments[0], "-c", setup.config, *arguments[1:])
        assert code == status, (arguments, out, err)
        count = f"{len(out.splitlines())} and {len(err.splitlines())} lines"
        figures.append(f"  {' '.join(arguments):24} status {code}, {count}, {used:.2f} s CPU")
        return out, err

    out, _ = ask("reload", status=3)
    lines = out.splitlines()
    assert lines[0] == f"serves generation 2, 2 workers, {CUSTOMERS} domains (25 stale)"
    ten = ", ".join(broken[:10])
    assert lines[1:5] == [
        "1 domain added (new.example)",
        f"1 domain removed ({names[-1]})",
        f"1 domain with another policy ({changed})",
        f"25 domains now stale ({ten} and 15 more)",
    ]
    assert lines[5].startswith("45 errors, 0 warnings: ")
    assert len(server.lines) - since < 60
    wait_generation(server, 2)
    since = server.mark()
    ask("reload", status=3)
    wait_generation(server, 3)
    assert len(server.lines) - since == 1

    good = names[4000]
    for command in ("reload", "check", "list", "dns", "policy", "health"):
        where = ["-l", f"127.0.0.1:{server.port}"] if command == "health" else []
        _, err = ask(command, *where, good, status=0)
        assert err == "", command
    assert "stale" in ask("reload", broken[3], status=1)[0]
    for command in ("check", "list", "dns", "policy"):
        _, err = ask(command, broken[3], status=1)
        assert "nun3" in err and "nun4" not in err
    for command in ("list", "dns"):
        _, err = ask(command, status=1)
        assert len(err.splitlines()) == 1 and " 20 files have faults (40 errors): " in err
    ask("check", status=1)
    with capsys.disabled():
        print("\n" + "\n".join(figures))
