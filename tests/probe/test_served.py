"""`dns --served`: a record is printed, or sent, when the server answers with the configured policy."""

import json

import pytest

from support.server import run
from support.setup import DEFAULT_POLICY

CHANGED = {"policy": "default", "max_age": "3w"}
NAMES = ["a.example", "b.example"]


class Place:
    def __init__(self, setup, server):
        self.setup = setup
        self.server = server
        self.file = setup.root / "published.json"

    def dns(self, *arguments, status):
        done = run(
            "dns", "--served", "-c", self.setup.config, "--connect", f"127.0.0.1:{self.server.port}", "--ca",
            self.setup.authority.root_file, *arguments,
        )  # fmt: skip
        assert done.returncode == status, (done.stdout, done.stderr)
        return done.stdout.decode()

    def publish(self, status):
        sent = self.setup.root / "sent"
        sent.unlink(missing_ok=True)
        said = self.dns("--published", self.file, "--commit-with", f"cat >{sent}", status=status)
        return said, sent.read_text() if sent.exists() else None


@pytest.fixture
def place(setup, start):
    setup.certify(*NAMES, folder="all")
    config = setup.write(NAMES)
    return Place(setup, start(config))


def test_record_of_what_is_served_is_printed(place):
    lines = place.dns(status=0).splitlines()
    assert [line.split()[0] for line in lines] == ["_mta-sts.a.example.", "_mta-sts.b.example."]


def test_record_before_the_reload_is_a_comment(place):
    place.setup.write({"a.example": CHANGED, "b.example": None})
    first, second, third = place.dns(status=3).splitlines()
    assert first.startswith("; a.example: publish no TXT record at _mta-sts.a.example. yet: its policy is not served yet: ")
    assert second.startswith(";") and third.startswith("_mta-sts.b.example.")
    assert place.server.reload()
    assert ";" not in place.dns(status=0).split('"')[0]


def test_published_record_stays_until_the_new_policy_is_served(place):
    """One line for cron, which publishes never too early, and asks only about what is to change."""
    said, sent = place.publish(0)
    assert said.startswith("2 records added") and sent.count("_mta-sts") == 2
    before = json.loads(place.file.read_text())
    place.setup.write({"a.example": CHANGED, "b.example": None})
    said, sent = place.publish(3)
    assert said.startswith("0 records added, 0 changed, 0 removed; 1 kept as published") and sent is None
    assert json.loads(place.file.read_text())["records"] == before["records"]
    assert place.server.reload()
    said, sent = place.publish(0)
    assert said.startswith("0 records added, 1 changed, 0 removed") and "a.example" in sent and "b.example" not in sent
    place.server.stop()
    assert place.publish(0) == ("0 records added, 0 changed, 0 removed\n", None)


def test_server_that_is_away_withholds_all(place):
    place.server.stop()
    text = place.dns(status=3)
    assert text.count("the connection is refused") == 2 and not text.startswith("_mta-sts")


def test_wrong_options_are_told(place):
    config = place.setup.config
    assert run("dns", "-c", config, "--connect", "127.0.0.1").returncode == 2
    assert run("dns", "-c", config, "--served", "--connect", "nowhere").returncode == 2
    assert run("dns", "-c", config, "--served", "--timeout", "soon").returncode == 2
    assert run("dns", "-c", config, "--served", "--ca", place.setup.root / "nothing").returncode == 1


def test_domain_with_its_last_valid_policy_holds_back_the_record_that_it_shares(setup, start):
    """Senders would keep its former policy under the new id of the others."""
    setup.certify(*NAMES, folder="all")
    (setup.root / "state").mkdir()
    (setup.root / "state").chmod(0o777)
    options = {"dns": {"delegate": "sts.example"}, "state": str(setup.root / "state")}
    place = Place(setup, start(setup.write(NAMES, **options), expect=["tls_rpt", "RFC 8460", "tls-reports"]))
    names = [line.split()[0] for line in place.dns(status=0).splitlines()]
    assert names == ["default._mta-sts.sts.example.", "_mta-sts.a.example.", "_mta-sts.b.example."]
    setup.write(
        {"a.example": None, "b.example": {"policy": "default", "tls_rpt": "nobody"}},
        policies={"default": {**DEFAULT_POLICY, "max_age": "3w"}},
        **options,
    )
    server = place.server
    assert server.reload()
    printed = json.loads(place.dns("-f", "json", status=1))
    assert [record["name"] for record in printed["records"]] == ["_mta-sts.a.example."]
    withheld = {record["name"]: record["reason"] for record in printed["withheld"]}
    assert "b.example: its policy is not served yet: " in withheld["default._mta-sts.sts.example."]
    assert 'max_age "1209600" instead of 1814400' in withheld["default._mta-sts.sts.example."]
    assert withheld["_mta-sts.b.example."].startswith("it is refused")
    # Corrected, it serves the new policy as the others do.
    setup.write(NAMES, policies={"default": {**DEFAULT_POLICY, "max_age": "3w"}}, **options)
    assert server.reload()
    assert len(place.dns(status=0).splitlines()) == 3
