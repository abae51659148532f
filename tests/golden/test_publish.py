"""Publishing with "dns --published FILE": only the difference is sent, and nothing is lost whatever
fails. The command that would send it is a shell script here."""

import fcntl
import json
import os
import signal
import subprocess

import pytest

from support import tree
from support.server import run
from support.setup import Setup
from support.wait import until

NAMES = ("a.example", "b.example", "c.example")
OTHER = {"policy": "default", "mode": "testing"}
BROKEN = {"policy": "default", "mode": "nun"}


class Publishing:
    def __init__(self, setup, folder):
        self.setup = setup
        self.file = folder / "published.json"
        self.sent = folder / "sent"

    def command(self, command=None, *, form="nsupdate"):
        command = command or f"cat >{self.sent}"
        return ["dns", "-c", self.setup.config, "-f", form, "--published", self.file, "--commit-with", command]

    def publish(self, command=None, *operands, status=0, form="nsupdate"):
        """Returns what was sent, or None, and what was said on standard output."""
        self.sent.unlink(missing_ok=True)
        done = run(*self.command(command, form=form), *operands)
        assert done.returncode == status, (done.stdout, done.stderr)
        self.said, self.complaint = done.stdout.decode(), done.stderr.decode()
        return self.sent.read_text() if self.sent.exists() else None

    def values(self):
        """What the file says is published."""
        records = json.loads(self.file.read_text())["records"]
        return {(record["domain"], record["type"]): record["value"] for record in records}

    def preview(self, form="nsupdate", status=0):
        done = run("dns", "-c", self.setup.config, "-f", form, "--published", self.file)
        assert done.returncode == status, done.stderr
        return done.stdout.decode()


@pytest.fixture(name="it")
def fixture_it(program, authority, tmp_path):
    del program
    setup = Setup(tmp_path / "setup", authority)
    setup.certify(*NAMES, folder="all")
    setup.write(NAMES)
    it = Publishing(setup, tmp_path)
    assert it.publish().count("update add") == 3
    assert it.said == f"3 records added, 0 changed, 0 removed\n{it.file} is written for the first time\n"
    assert sorted(path.name for path in tmp_path.glob("published*")) == ["published.json", "published.json.lock"]
    return it


def test_nothing_to_do(it):
    before = it.file.read_bytes(), it.file.stat().st_ino
    assert it.publish() is None and it.said == "0 records added, 0 changed, 0 removed\n"
    assert (it.file.read_bytes(), it.file.stat().st_ino) == before
    assert it.preview() == ""


def test_preview_touches_nothing(it):
    it.setup.write({**dict.fromkeys(NAMES), "a.example": OTHER})
    before = it.file.read_bytes()
    assert it.preview().count("update add _mta-sts.a.example.") == 1
    assert json.loads(it.preview("json"))["changed"][0]["domain"] == "a.example"
    assert it.file.read_bytes() == before
    assert it.publish() == it.preview() or it.preview() == ""


@pytest.mark.parametrize("form", ["zone", "json"])
def test_other_formats(it, form):
    it.setup.write({**dict.fromkeys(NAMES), "a.example": OTHER})
    wanted = it.preview(form)
    assert it.publish(form=form) == wanted and "a.example" in wanted and "b.example" not in wanted


def test_failure_changes_nothing_and_is_sent_again(it):
    before = it.file.read_bytes()
    it.setup.write({**dict.fromkeys(NAMES), "a.example": OTHER})
    it.publish("exit 3", status=1)
    assert "ended with status 3" in it.complaint and it.file.read_bytes() == before
    it.publish("kill -9 $$", status=1)
    assert "ended by signal 9" in it.complaint and it.file.read_bytes() == before
    it.publish("/nowhere/nsupdate", status=1)
    assert it.file.read_bytes() == before
    assert "_mta-sts.a.example." in it.publish()
    assert it.publish() is None


def test_change_taken_back_after_a_failure_is_sent(it):
    """Half of it may have been published."""
    old = it.values()
    it.setup.write({**dict.fromkeys(NAMES[1:]), "a.example": OTHER, "d.example": None})
    it.setup.certify("d.example")
    it.publish("exit 1", status=1)
    it.setup.write(NAMES)
    sent = it.publish()
    assert "update add _mta-sts.a.example." in sent and old["a.example", "TXT"] in sent
    # What came and went meanwhile goes, and what was not concerned is not sent.
    assert "update delete _mta-sts.d.example. TXT" in sent and "update add _mta-sts.d" not in sent
    assert "b.example" not in sent
    assert it.values() == old and it.publish() is None


def test_crash_in_the_middle_is_like_a_failure(it):
    old = it.values()
    it.setup.write({**dict.fromkeys(NAMES), "a.example": OTHER})
    it.sent.unlink()
    command = [str(tree.program()), *map(str, it.command(f"echo $PPID >{it.sent}; sleep 60"))]
    with subprocess.Popen(command, start_new_session=True) as process:
        until(lambda: it.sent.exists() and it.sent.read_text().endswith("\n"), "the command")
        # While it runs nobody else publishes.
        done = run(*it.command())
        assert done.returncode == 1 and b"another process is publishing" in done.stderr
        os.killpg(process.pid, signal.SIGKILL)
    it.setup.write(NAMES)
    assert old["a.example", "TXT"] in it.publish() and it.publish() is None


def test_uncertain_record_that_is_withheld_stays_uncertain(it):
    old = it.values()
    it.setup.write({**dict.fromkeys(NAMES), "a.example": OTHER})
    it.publish("exit 1", status=1)
    it.setup.write({**dict.fromkeys(NAMES), "a.example": BROKEN, "b.example": OTHER})
    sent = it.publish(status=1)
    assert "b.example" in sent and "update" not in sent.split("b.example")[0].replace("update delete _mta-sts.", "")
    assert it.values()["a.example", "TXT"] == old["a.example", "TXT"]
    it.setup.write(NAMES)
    sent = it.publish()
    assert "_mta-sts.a.example." in sent and "_mta-sts.b.example." in sent
    assert it.values() == old and it.publish() is None


def test_domain_that_fails_does_not_hinder_the_others(it):
    """As nsupdate, which ends at the first zone that is not there."""
    old = it.values()
    it.setup.write(dict.fromkeys(NAMES, OTHER))
    it.publish(f"tee -a {it.sent} | grep -q b.example && exit 2; exit 0", status=1)
    assert it.said == "0 records added, 2 changed, 0 removed; 1 kept as published\n"
    assert "b.example is not known to be published" in it.complaint and "a.example" not in it.complaint
    assert it.values()["b.example", "TXT"] == old["b.example", "TXT"] != it.values()["a.example", "TXT"]
    sent = it.publish()
    assert "_mta-sts.b.example." in sent and "a.example" not in sent and it.publish() is None


def test_command_that_always_fails_is_not_run_for_ever(it):
    many = [f"d{i}.example" for i in range(60)]
    it.setup.certify(*many, folder="many")
    it.setup.write([*NAMES, *many])
    it.publish(f"echo >>{it.sent}; exit 1", status=1)
    assert len(it.sent.read_text()) == tree.LIMITS["LIMIT_COMMIT_FAILURES_AT_FIRST"]
    assert "and so are 50 more domains" in it.complaint
    assert it.publish().count("update add") == 60


def test_command_need_not_read_all(it):
    it.setup.write({**dict.fromkeys(NAMES), "a.example": OTHER})
    it.publish("true")
    assert it.publish() is None


def test_broken_configuration_sends_nothing(it):
    before = it.file.read_bytes()
    good = it.setup.config.read_text()
    for text in (good.replace("domains:", "domians:"), good[: len(good) // 2] + "{", ""):
        it.setup.config.write_text(text)
        assert it.publish(status=1) is None
        assert it.file.read_bytes() == before
    it.setup.config.unlink()
    assert it.publish(status=1) is None
    it.setup.config.write_text(good)
    assert it.publish() is None


def test_refused_domain_keeps_its_records_and_others_go_on(it):
    old = it.values()
    it.setup.write({"a.example": BROKEN, "b.example": OTHER})
    sent = it.publish(status=1)
    assert "_mta-sts.b.example." in sent and "update delete _mta-sts.a.example." not in sent
    # c.example is not there, and with an error somewhere that may be the error's doing.
    assert it.values()["a.example", "TXT"] == old["a.example", "TXT"]
    assert it.values()["c.example", "TXT"] == old["c.example", "TXT"]
    it.setup.write({"a.example": None, "b.example": OTHER})
    assert it.publish() == "update delete _mta-sts.c.example. TXT\nsend\n"


@pytest.mark.parametrize("text", ["", "# gone\n", "domains:\n", "domains: {}\n", "domains: {d.exa"])
def test_emptied_file_removes_nothing(it, text):
    folder = it.setup.root / "d"
    folder.mkdir()
    (folder / "old.yaml").write_text("domains: {d.example: }\n")
    it.setup.certify("d.example")
    it.setup.write(NAMES, include="d/*.yaml")
    it.publish()
    # It moves into another file without a change of its record.
    (folder / "old.yaml").rename(folder / "new.yaml")
    assert it.publish() is None
    (folder / "new.yaml").write_text(text)
    value = it.values()["d.example", "TXT"]
    assert it.publish(status=1) is None and str(folder / "new.yaml") in it.complaint
    assert it.values()["d.example", "TXT"] == value
    (folder / "new.yaml").unlink()
    assert "update delete _mta-sts.d.example. TXT" in it.publish()


def test_withheld_record_is_kept_and_told(it):
    it.setup.write([*NAMES, "late.example"])
    assert it.publish(status=3) is None
    assert "late.example: its TXT record at _mta-sts.late.example. is withheld: no certificate" in it.complaint
    it.setup.certify("late.example")
    assert "_mta-sts.late.example." in it.publish()
    for path in (it.setup.certs / "late.example").iterdir():
        path.unlink()
    value = it.values()["late.example", "TXT"]
    it.setup.write({**dict.fromkeys(NAMES), "late.example": OTHER})
    assert it.publish(status=3) is None
    assert it.values()["late.example", "TXT"] == value


def test_only_the_named_domain(it):
    it.setup.write({"a.example": OTHER, "b.example": OTHER})
    sent = it.publish(None, "a.example", "A.example")
    assert sent.count("update add") == 1 and "_mta-sts.a.example." in sent
    assert set(it.values()) == {(name, "TXT") for name in NAMES}
    sent = it.publish()
    assert "a.example" not in sent and "add _mta-sts.b.example." in sent and "c.example. TXT\nsend" in sent


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"records":[]}', '{"records":[{}],"withheld":[]}'])
def test_damaged_file_sends_nothing(it, text):
    it.file.write_text(text)
    assert it.publish(status=1) is None
    assert str(it.file) in it.complaint and "fix: " in it.complaint
    assert it.file.read_text() == text
    assert it.preview(status=1) == ""


def test_damaged_pending_file_sends_nothing(it):
    it.setup.write({**dict.fromkeys(NAMES), "a.example": OTHER})
    it.publish("exit 1", status=1)
    pending = it.file.with_name(it.file.name + ".pending")
    pending.write_text(pending.read_text()[:-3])
    assert it.publish(status=1) is None and str(pending) in it.complaint


def test_many_removals_are_asked_about(it):
    many = [f"d{i}.example" for i in range(30)]
    it.setup.certify(*many, folder="many")
    it.setup.write([*NAMES, *many])
    it.publish()
    before = it.file.read_bytes()
    it.setup.write(NAMES)
    assert it.publish(status=1) is None
    assert "30 of its 33 domains are not configured any more: nothing is done" in it.complaint
    assert it.file.read_bytes() == before and it.preview(status=1) == ""
    done = run(*it.command(), "--remove-many")
    assert done.returncode == 0 and b"30 removed" in done.stdout


def test_file_through_a_link_and_its_mode(it, tmp_path):
    real = it.file
    real.chmod(0o600)
    it.file = tmp_path / "link.json"
    it.file.symlink_to(real)
    it.setup.write({**dict.fromkeys(NAMES), "a.example": OTHER})
    it.publish()
    assert it.file.is_symlink() and real.stat().st_mode & 0o777 == 0o600
    assert "a.example" in real.read_text() and it.publish() is None


def test_place_that_cannot_be_written(it, tmp_path):
    it.file = tmp_path / "nowhere" / "published.json"
    assert it.publish(status=1) is None
    assert f"{it.file}.lock: error: No such file" in it.complaint
    lock = os.open(tmp_path / "published.json.lock", os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    it.file = tmp_path / "published.json"
    assert it.publish(status=1) is None and "another process is publishing" in it.complaint
    os.close(lock)
    assert it.publish() is None


@pytest.mark.parametrize(
    "arguments",
    [["--commit-with", "true"], ["--remove-many"], ["--since", "x", "--published", "y"]],
)
def test_options_that_do_not_fit(program, setup, arguments):
    del program
    setup.write(NAMES)
    done = run("dns", "-c", setup.config, *arguments)
    assert (done.returncode, done.stdout) == (2, b"")


ZONE = {"dns": {"delegate": "sts.example"}}
SHARED = "default._mta-sts.sts.example"
OWN = "b.example._mta-sts.sts.example"


def test_shared_records_take_the_place_of_the_domains_own_and_back(it):
    """An alias stands alone at its name, so what was there goes, and never without what comes."""
    it.setup.write({**dict.fromkeys(NAMES), "b.example": OTHER}, **ZONE)
    sent = it.publish()
    assert it.said == "5 records added, 0 changed, 3 removed\n"
    assert sent.count("update add") == 5 and sent.count("send\n") == 8
    place = sent.index("update add _mta-sts.a.example. 3600 CNAME")
    assert sent.rindex("update delete _mta-sts.a.example. TXT", 0, place) > 0
    assert it.values().keys() == {(SHARED, "TXT"), (OWN, "TXT"), *((name, "CNAME") for name in NAMES)}
    # One change is one record for all who share it.
    policies = {"default": {"mode": "enforce", "max_age": "4w", "mx": ["mail.example.com"]}}
    it.setup.write({**dict.fromkeys(NAMES), "b.example": {"policy": "default", "mode": "testing"}}, policies=policies, **ZONE)
    assert it.publish().count("update add") == 2 and it.said == "0 records added, 2 changed, 0 removed\n"
    # Back, but one domain has lost its certificate: its alias stays, and what that leads to.
    it.setup.certify("a.example", "b.example", folder="all")
    it.setup.write(NAMES)
    sent = it.publish(status=3)
    assert "\nupdate add _mta-sts.c.example" not in sent and f"delete {SHARED}" not in sent
    assert it.values().keys() == {("a.example", "TXT"), ("b.example", "TXT"), ("c.example", "CNAME"), (SHARED, "TXT")}
    it.setup.certify("c.example", folder="c")
    assert it.publish().count("update delete _mta-sts.c.example. CNAME") == 2
    assert it.values().keys() == {(name, "TXT") for name in NAMES}


def test_zone_of_the_shared_records_is_published_alone(it):
    """The zones of the customers are not the hoster's; what a mistake hides stays in it."""
    it.file.unlink()
    (it.setup.root / "d").mkdir()
    file = it.setup.root / "d" / "c.yaml"
    file.write_text("policies: {own: {mode: none, max_age: 1d, mx: c.example}}\ndomains: {c.example: own}\n")
    settings = {**ZONE, "include": "d/*.yaml"}
    it.setup.write({"a.example": None, "b.example": OTHER}, **settings)
    assert it.publish(None, "STS.example.").count("update add") == 3
    (third,) = {domain for domain, _ in it.values()} - {SHARED, OWN}
    assert third.startswith("own.d-c-yaml_") and all(kind == "TXT" for _, kind in it.values())
    # A broken file: nothing of it is removed, and the others go on.
    good = file.read_text()
    file.write_text("domains: {c.example: own\n")
    it.setup.write(["a.example"], **settings)
    assert it.publish(None, "sts.example", status=1) is None and it.said.endswith("; 2 kept as published\n")
    # One that is gone takes its record with it, and so does a domain.
    file.write_text(good)
    assert it.publish(None, "sts.example").count("update delete") == 1 and len(it.values()) == 2
    file.unlink()
    assert third in it.publish(None, "sts.example") and it.values().keys() == {(SHARED, "TXT")}
    # A customer by name comes with the record that its alias leads to.
    assert [record["name"] for record in json.loads(it.preview("json"))["added"]] == ["_mta-sts.a.example."]


def test_label_does_not_depend_on_where_the_configuration_is(it, tmp_path):
    """The customers' aliases must not change with the folder or with how it is named."""
    (it.setup.root / "d").mkdir()
    (it.setup.root / "d" / "c.yaml").write_text(
        "policies: {own: {mode: none, max_age: 1d, mx: c.example}}\ndomains: {c.example: own}\n"
    )
    absolute = tmp_path / "elsewhere"
    absolute.mkdir()
    (absolute / "e.yaml").write_text(
        "policies: {own: {mode: none, max_age: 1d, mx: c.example}}\ndomains: {b.example: own}\n"
    )
    it.setup.write(["a.example"], include=["d/*.yaml", f"{absolute}/*.yaml"], **ZONE)

    def names(config, **options):
        printed = run("dns", "-c", config, "-f", "json", **options)
        assert printed.returncode == 0, printed.stderr
        return [record["value"] for record in json.loads(printed.stdout)["records"] if record["type"] == "CNAME"]

    first = names(it.setup.config)
    assert first[0] == f"{SHARED}." and len({*first}) == 3
    assert names("mta-sts.yaml", cwd=it.setup.root) == first
    assert names("./mta-sts.yaml", cwd=it.setup.root) == first
    moved = it.setup.root.rename(tmp_path / "moved")
    assert names(moved / "mta-sts.yaml") == first
