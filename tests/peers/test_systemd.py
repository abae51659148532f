"""systemd's own verdict on the units."""

import json
import os
import re
import subprocess

import pytest

from support import tree

UNITS = tree.ROOT / "config" / "systemd"
RENEWAL = tree.ROOT / "config" / "acme"
SERVICE = "mta-sts-httpd.service"
# Of 10, and what systemd calls safe ends at 2.
EXPOSURE_MOST = 1.5


def analyze(*arguments, **options):
    return subprocess.run(
        ["systemd-analyze", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


@pytest.fixture(name="units", params=[False, True], ids=["as it is", "with credentials.conf"])
def fixture_units(request, program, tmp_path):
    """The units with the path of the program under test."""
    for unit in UNITS.glob("mta-sts-httpd.s*"):
        text = unit.read_text().replace("/usr/local/sbin/mta-sts-httpd", str(program))
        (tmp_path / unit.name).write_text(text)
    if request.param:
        service = tmp_path / SERVICE
        service.write_text(service.read_text() + (UNITS / "credentials.conf").read_text())
    return tmp_path


def test_units_are_sound(units):
    environment = {**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:"}
    names = [units / SERVICE, units / "mta-sts-httpd.socket"]
    done = analyze("verify", "--man=no", *names, env=environment)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_units_for_renewal_are_sound(program, tmp_path):
    """The script is put where make install does not: an operator chooses it."""
    for name in ("mta-sts-renew.service", "mta-sts-renew.timer"):
        text = (RENEWAL / name).read_text().replace("/etc/mta-sts/acme/renew", str(RENEWAL / "renew"))
        (tmp_path / name).write_text(text)
    units = [tmp_path / "mta-sts-renew.service", tmp_path / "mta-sts-renew.timer"]
    done = analyze("verify", "--man=no", *units, env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"})
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_units_of_the_probe_are_sound(program, tmp_path):
    for name in ("mta-sts-probe.service", "mta-sts-probe.timer"):
        text = (UNITS / name).read_text().replace("/usr/local/sbin/mta-sts-httpd", str(program))
        (tmp_path / name).write_text(text)
    units = [tmp_path / "mta-sts-probe.service", tmp_path / "mta-sts-probe.timer"]
    done = analyze("verify", "--man=no", *units, env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"})
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("status", ["0", "1"])
def test_result_of_the_probe_is_left_for_prometheus(tmp_path, status):
    """The command is the unit's, read as systemd reads it (systemd.service(5), "Command lines")."""
    (line,) = re.findall(r"^ExecStopPost=/bin/sh -c '(.*)'$", (UNITS / "mta-sts-probe.service").read_text(), re.M)
    command = line.replace("%%", "%").replace("\\\\", "\\")
    environment = {**os.environ, "RUNTIME_DIRECTORY": str(tmp_path), "EXIT_STATUS": status}
    subprocess.run(["/bin/sh", "-c", command], check=True, timeout=60, env=environment)
    first, second = (tmp_path / "probe.prom").read_text().splitlines()
    assert first == f"mta_sts_probe_status {status}"
    assert re.fullmatch(r"mta_sts_probe_timestamp_seconds [0-9]{10}", second)
    assert [path.name for path in tmp_path.iterdir()] == ["probe.prom"]


def test_service_is_hardly_exposed(units):
    done = analyze("security", "--offline=true", "--json=short", units / SERVICE)
    verdict = analyze("security", "--offline=true", "--no-pager", units / SERVICE)
    overall = re.search(r"Overall exposure level for \S+: ([0-9.]+)", verdict.stdout)
    exposed = [row["name"] for row in json.loads(done.stdout) if float(row["exposure"] or 0) > 0]
    assert float(overall[1]) <= EXPOSURE_MOST, exposed


def test_installed_units_start_the_installed_program(program, tmp_path):
    """make install, as a packager calls it; nothing is built anew."""
    done = subprocess.run(
        ["make", "-o", program, "install", f"PROGRAM={program}", f"DESTDIR={tmp_path}", "prefix=/usr"],
        cwd=tree.ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    service = (tmp_path / "usr/lib/systemd/system" / SERVICE).read_text()
    command = re.search(r"^ExecStart=(\S+) serve$", service, re.M)[1]
    assert os.access(str(tmp_path) + command, os.X_OK)
    assert (tmp_path / "usr/lib/systemd/system/mta-sts-httpd.socket").is_file()


def test_uninstall_removes_what_install_has_put_there(program, tmp_path):
    """And nothing else: what others have put beside it stays."""
    def make(goal):
        done = subprocess.run(
            ["make", "-o", program, goal, f"PROGRAM={program}", f"DESTDIR={tmp_path}"],
            cwd=tree.ROOT, capture_output=True, text=True, timeout=120, check=False,
            env={**os.environ, "MAKEFLAGS": ""})
        assert done.returncode == 0, done.stdout + done.stderr

    make("install")
    examples = tmp_path / "usr/local/share/doc/mta-sts-httpd/examples"
    assert os.access(examples / "acme" / "renew", os.X_OK)
    schema = tmp_path / "usr/local/share/mta-sts-httpd/mta-sts.schema.json"
    first = (examples / "mta-sts.yaml").read_text().splitlines()[0]
    assert first.endswith(str(schema).removeprefix(str(tmp_path))) and schema.is_file()
    (tmp_path / "usr/local/share/doc/others").write_text("")
    make("uninstall")
    assert [path.name for path in tmp_path.rglob("*") if not path.is_dir()] == ["others"]
    assert not examples.parent.exists()
