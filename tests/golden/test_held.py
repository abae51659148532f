"""What senders may still hold, as "list --held" tells it."""

import json

import pytest

from support import history
from support.server import run

CONFIG = """\
certificates: .
state: state
dns: {ttl: 1h}
policies:
  default: {mode: enforce, max_age: 2w, mx: [b.example.com]}
domains:
  example.com:
  example.net:
"""
A, B = "enforce 1209600 1 a.example.com", "enforce 1209600 2 b.example.com"
MOVED = [
    ("example.com", A, "2026-10-01", "2026-11-10T09:00:00"),
    ("example.com", B, "2026-11-10T09:00:00", None),
    ("example.org", A, "2026-10-01", "2026-11-01"),
]
SEEN = [
    ("example.com", "1", "2026-10-01", "2026-11-10T09:30:00", 600),
    ("example.com", "2", "2026-11-10T09:30:00", "2026-11-12", 600),
]


@pytest.fixture
def place(program, tmp_path):
    del program
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "state").mkdir()
    return tmp_path


def held(place, *arguments, at="2026-11-12", status=0):
    done = run("list", "--held", "-c", place / "config.yaml", "--at", at, *arguments)
    assert done.returncode == status, done.stderr.decode()
    return done


def told(place, domain, **options):
    (found,) = json.loads(held(place, domain, "--json", **options).stdout)["domains"]
    return found


def test_nothing_is_known_before_anything_was_recorded(place):
    done = held(place, status=3)
    assert done.stdout == b"Nothing is known: no server has recorded yet what it served.\n"
    told = json.loads(held(place, "--json", status=3).stdout)
    assert told["since"] is None and told["domains"][0]["policies"] == []


def test_without_state_there_is_nothing_to_read(place):
    (place / "config.yaml").write_text(CONFIG.replace("state: state\n", ""))
    assert b'has no "state:"' in held(place, status=1).stderr
    history.write_served(place / "state", "2025-01-01", *MOVED)
    assert held(place, "--state", place / "state").stdout != b""


def test_domain_is_told_with_all_that_follows(place):
    history.write_served(place / "state", "2025-01-01", *MOVED)
    history.write_seen(place / "state", *SEEN)
    lines = held(place, "example.com").stdout.decode().splitlines()
    assert [line.split() for line in lines[:3]] == [
        "DOMAIN MODE MAX_AGE ID SERVED FROM UNTIL MX HELD UNTIL".split(),
        "example.com enforce 1209600 1 2026-10-01T00:00:00Z 2026-11-10T09:00:00Z a.example.com 2026-11-24T11:30:00Z".split(),
        "example.com enforce 1209600 2 2026-11-10T09:00:00Z still b.example.com served (2026-11-26T02:00:00Z if replaced now)".split(),
    ]
    assert lines[3:] == [
        "example.com: b.example.com may be the only MX from 2026-11-24T11:30:00Z on",
        "example.com: a.example.com may be the only MX from 2026-11-26T02:00:00Z on if the served policy were replaced now",
        "example.com: no enforced policy is held from 2026-11-26T02:00:00Z on if the served policy were replaced now",
    ]


def test_dates_pass(place):
    history.write_served(place / "state", "2025-01-01", *MOVED)
    history.write_seen(place / "state", *SEEN)
    before, after = (told(place, "example.com", at=f"2026-11-24T11:{minute}:00Z") for minute in (29, 30))
    assert [policy["id"] for policy in before["policies"]] == ["1", "2"]
    assert [policy["id"] for policy in after["policies"]] == ["2"]
    assert after["mx"] == [{"host": "b.example.com", "alone": {"kind": "free", "until": None, "not_before": None}}]


def test_record_that_still_has_the_old_id_is_named(place):
    history.write_served(place / "state", "2025-01-01", *MOVED)
    history.write_seen(place / "state", ("example.com", "1", "2026-10-01", "2026-11-12", 600))
    assert b"renewed while id 1 is in the DNS" in held(place, "example.com").stdout
    found = told(place, "example.com")
    assert found["free"] == {"kind": "renewed", "until": None, "not_before": "2026-11-26T02:00:00Z", "id": "1"}


def test_domain_that_is_not_configured_any_more_is_listed(place):
    history.write_served(place / "state", "2025-01-01", *MOVED)
    assert not told(place, "example.org")["configured"]
    assert told(place, "example.org")["free"]["kind"] == "unknown"
    assert b'"nowhere.example" is not configured' in held(place, "nowhere.example", status=1).stderr


def test_hosters_view_is_sorted(place):
    history.write_served(place / "state", "2025-01-01", *MOVED)
    names = [line.split()[0] for line in held(place, "--sort", "until").stdout.decode().splitlines()]
    assert names == ["DOMAIN", "example.net", "example.org", "example.com"]
    names = [line.split()[0] for line in held(place).stdout.decode().splitlines()]
    assert names == ["DOMAIN", "example.com", "example.net", "example.org"]
    assert run("list", "--held", "--sort", "mode", "-c", place / "config.yaml").returncode == 2
    assert run("list", "--held", "--senders", "-c", place / "config.yaml").returncode == 2


def test_history_that_is_short_says_so(place):
    history.write_served(place / "state", "2026-10-01", *MOVED)
    assert b"before 2026-10-01T00:00:00Z is unknown" in held(place).stdout
    assert b"unknown; senders" not in held(place, at="2027-10-03").stdout


def test_replicas_merge_in_every_order(place):
    folders = [place / name for name in ("one", "two", "three")]
    history.write_served(folders[0], "2025-01-01", *MOVED)
    history.write_served(folders[1], "2025-01-01", ("example.com", A, "2026-09-01", None))
    history.write_served(folders[2], "2025-02-01", ("example.com", B, "2026-11-10", "2026-11-11"))
    history.write_seen(folders[2], *SEEN)
    answers = set()
    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2, 2, 0), (1, 2, 0)):
        names = [word for index in order for word in ("--state", folders[index])]
        answers.add(held(place, *names, "--json").stdout)
    # Where the record is makes no difference to what is held.
    config = place / "config.yaml"
    config.write_text(config.read_text().replace("{ttl: 1h}", "{ttl: 1h, delegate: sts.example}"))
    answers.add(held(place, *names, "--json").stdout)
    (answer,) = answers
    found = json.loads(answer)
    assert found["since"] == "2025-02-01T00:00:00Z"
    policies = found["domains"][0]["policies"]
    assert [(one["id"], one["served_from"][:10], one["served_until"]) for one in policies] == [
        ("1", "2026-09-01", None),
        ("2", "2026-11-10", None),
    ]


def test_clock_that_is_behind_is_warned_of(place):
    history.write_served(place / "state", "2025-01-01", *MOVED)
    done = held(place, "--json", at="2026-11-09")
    assert b"warning: it is 2026-11-09T00:00:00Z by the clock" in done.stderr
    assert json.loads(done.stdout)["now"] == "2026-11-10T09:00:00Z"


def test_clock_that_was_ahead_by_a_year_ends_no_promise(place):
    """One of the two times is wrong: dates follow from the later one, and nothing is over by it alone."""
    rows = (("example.com", A, "2026-09-01", "2026-11-10"), ("example.com", B, "2026-11-10", None))
    history.write_served(place / "state", "2025-01-01", *rows, ("other.example", A, "2027-11-10", "2027-11-11"))
    history.write_seen(place / "state", ("example.com", "1", "2026-09-01", "2026-11-10", 60), ("example.com", "2", "2026-11-10", "2026-11-11", 60))
    (domain,) = json.loads(held(place, "--json", "example.com").stdout)["domains"]
    assert [one["id"] for one in domain["policies"]] == ["1", "2"]
    assert domain["policies"][0]["held"] == {"kind": "date", "until": "2026-11-24T02:00:00Z", "not_before": "2026-11-24T02:00:00Z"}
    (alone,) = [one["alone"] for one in domain["mx"] if one["host"] == "b.example.com"]
    assert alone["not_before"] == "2026-11-24T02:00:00Z"


@pytest.mark.parametrize("name", ["served-policies.txt", "seen-records.txt"])
def test_damaged_file_is_ignored_with_a_warning(place, name):
    history.write_served(place / "state", "2025-01-01", *MOVED)
    history.write_seen(place / "state", *SEEN)
    whole = (place / "state" / name).read_bytes()
    (place / "state" / name).write_bytes(whole[:-30])
    done = held(place, "--json", status=3 if name.startswith("served") else 0)
    assert f"{name} is damaged or of another program, and is ignored".encode() in done.stderr
