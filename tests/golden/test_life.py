"""What a change of the configuration means to senders that hold what was served before, as "check" tells it."""

import json

import pytest

from support import history
from support.server import run

CONFIG = """\
certificates: .
state: state
strict: {strict}
dns: {{ttl: {ttl}}}
domains:
  example.com: {{{policy}}}
"""
AT = "2026-11-12"
A, B = "enforce 1209600 1 a.example.com", "enforce 1209600 2 b.example.com"
WRITTEN_A = "mode: enforce, max_age: 2w, mx: a.example.com, id: 1"
WRITTEN_B = "mode: enforce, max_age: 2w, mx: b.example.com, id: 2"
LONG_AGO = "2024-01-01"
SEEN = [
    ("example.com", "1", "2026-10-01", "2026-11-10T09:30:00", 600),
    ("example.com", "2", "2026-11-10T09:30:00", "2026-11-12", 600),
]


@pytest.fixture
def place(program, tmp_path):
    del program
    (tmp_path / "state").mkdir()
    return tmp_path


def write(path, policy, *, ttl="1h", strict="false"):
    path.write_text(CONFIG.format(policy=policy, ttl=ttl, strict=strict))
    return path


def served(place, *rows, since=LONG_AGO):
    history.write_served(place / "state", since, *(("example.com", *row) for row in rows))


def check(place, policy, *arguments, at=AT, **options):
    """The findings as (level, message, reason, hint), without that on the missing certificate."""
    config = write(place / "config.yaml", policy, **options)
    done = run("check", "--json", "-c", config, "--at", at, *arguments)
    found = json.loads(done.stdout)
    lines = [
        (one["level"], one["message"], one["reason"], one["hint"])
        for one in found["diagnostics"]
        if "certificate" not in one["message"] or "enforced" in one["message"]
    ]
    assert done.returncode == (1 if any(line[0] == "error" for line in lines) else 0)
    return lines, found


def only(place, policy, *arguments, **options):
    lines, found = check(place, policy, *arguments, **options)
    assert len(lines) == 1 and lines[0][2] and lines[0][3], lines
    return lines[0], found


def test_policy_that_is_served_already_needs_no_word(place):
    served(place, (A, "2026-10-01", None))
    assert check(place, WRITTEN_A)[0] == []
    assert check(place, WRITTEN_B.replace("b.", "a."))[0] == []


def test_id_that_has_named_other_bytes_is_an_error(place):
    """T1: the domain keeps its last valid policy."""
    served(place, (A, "2026-10-01", "2026-11-01"), (B, "2026-11-01", None))
    for changed in ("mode: enforce, max_age: 2w, mx: [a.example.com, c.example.com], id: 1",
                    "mode: enforce, max_age: 15d, mx: a.example.com, id: 1",
                    "mode: testing, max_age: 2w, mx: a.example.com, id: 1",
                    "mode: enforce, max_age: 2w, mx: c.example.com, id: 2"):
        (level, message, _, _), found = only(place, changed)
        assert level == "error" and 'of domain "example.com" has named another policy before' in message
        assert found["refused"] == 1
    assert [line[0] for line in check(place, WRITTEN_B)[0]] == ["warning"]  # of the move to b
    _, found = check(place, changed, strict="true")
    assert not found["usable"]


def test_policy_that_is_back_under_its_id_gets_a_new_one(place):
    """T2: and with the id that is proposed nothing is left to say."""
    served(place, (A, "2026-10-01", "2026-11-01"), ("testing 1209600 2 a.example.com", "2026-11-01", None))
    (level, message, _, hint), _ = only(place, WRITTEN_A)
    assert (level, message) == ("warning", 'domain "example.com" has the policy of 2026-10-01 again, and its id')
    assert only(place, WRITTEN_A)[0][3] == hint
    name = hint.removeprefix('write id: "').removesuffix('"')
    assert len(name) == 18 and name.isdigit() and name[0] != "0"
    assert check(place, WRITTEN_A.replace("id: 1", f'id: "{name}"'))[0] == []
    # It stays so after the policy was served again, as long as the other may be held.
    served(place, (A, "2026-10-01", None), ("testing 1209600 2 a.example.com", "2026-11-01", "2026-11-05"))
    assert only(place, WRITTEN_A)[0][1] == message


@pytest.mark.parametrize(
    "held, mx, refused",
    [
        ("a.example.com", "b.example.com", "b.example.com"),
        ("a.example.com b.example.com", "[b.example.com, c.example.com]", "c.example.com"),
        ("a.example.com b.example.com", "[c.example.com, d.example.com]", "c.example.com and 1 more"),
        ("*.mx.example.com", "a.b.mx.example.com", "a.b.mx.example.com"),
        ("mx.example.com", '"*.example.com"', None),
        ("a.example.com", "[a.example.com, b.example.com]", None),
        ("a.example.com b.example.com", "a.example.com", None),
        ("*.mx.example.com", "a.mx.example.com", None),
    ],
)
def test_mx_that_senders_would_refuse_is_warned_of(place, held, mx, refused):
    """T3: to add a host beside the others, or to take one away, loses no mail."""
    tested = B.replace("enforce", "testing")
    served(place, (f"enforce 1209600 1 {held}", "2026-10-01", "2026-11-10T09:00:00"), (tested, "2026-11-10T09:00:00", None))
    history.write_seen(place / "state", *SEEN)
    lines, _ = check(place, f"mode: enforce, max_age: 2w, mx: {mx}, id: 3")
    if refused is None:
        assert lines == []
        return
    ((level, message, _, hint),) = lines
    assert level == "warning" and "id 1," in lines[0][2]
    assert message == f'domain "example.com": senders may refuse mail to {refused} until 2026-11-24T11:30:00Z'
    assert "list --held example.com" in hint


def test_of_several_policies_that_refuse_a_host_the_longest_is_told(place):
    long = "enforce 2419200 3 a.example.com"
    served(place, (long, "2026-09-01", "2026-10-20"), (A, "2026-10-20", "2026-11-10T09:00:00"), (B, "2026-11-10T09:00:00", None))
    history.write_seen(place / "state", ("example.com", "3", "2026-09-01", "2026-11-10T09:10:00", 60), *SEEN[1:])
    (level, message, reason, _), _ = only(place, WRITTEN_B)
    assert level == "warning" and "id 3," in reason
    assert message.endswith("refuse mail to b.example.com until 2026-12-08T11:30:00Z")


def test_mx_is_free_when_the_date_has_passed(place):
    served(place, (A, "2026-10-01", "2026-11-10T09:00:00"), (B, "2026-11-10T09:00:00", None))
    history.write_seen(place / "state", *SEEN)
    assert only(place, WRITTEN_B, at="2026-11-24T11:29:00Z")[0][1].endswith("until 2026-11-24T11:30:00Z")
    assert check(place, WRITTEN_B, at="2026-11-24T11:31:00Z")[0] == []
    history.write_seen(place / "state", ("example.com", "1", "2026-10-01", "2026-11-24T11:31:00", 600))
    message = only(place, WRITTEN_B, at="2026-11-24T11:31:00Z")[0][1]
    assert message.endswith("until 2026-12-08T13:31:00Z at the earliest, and while id 1 is in the DNS")


def test_long_max_age_is_warned_of_in_the_first_month(place):
    """T4."""
    long = WRITTEN_A.replace("2w", "29d")
    history.write_served(place / "state", LONG_AGO)
    assert "above four weeks in its first month" in only(place, long)[0][1]
    assert check(place, WRITTEN_A.replace("2w", "4w"))[0] == []
    assert check(place, long.replace("enforce", "testing"))[0] == []
    served(place, (A, "2026-11-01", None))
    assert "above four weeks in its first month" in only(place, long.replace("id: 1", "id: 3"))[0][1]
    served(place, (A, "2026-10-01", None))
    assert check(place, long.replace("id: 1", "id: 3"))[0] == []
    # Where the history begins, nothing is known of the time before.
    served(place, (A, "2026-11-01", None), since="2026-11-01")
    assert check(place, long.replace("id: 1", "id: 3"))[0] == []
    assert "one day to some senders" in only(place, WRITTEN_A.replace("2w, ", "31557600, ").replace("id: 1", "id: 4"))[0][1]


def test_domain_that_is_gone_too_early_is_warned_of(place):
    """T5: one line, also for many."""
    rows = [(f"{number}.example", A, "2026-10-01", None) for number in range(30)]
    history.write_served(place / "state", LONG_AGO, ("example.com", A, "2026-10-01", None), *rows)
    config = write(place / "config.yaml", WRITTEN_A)
    said = run("check", "-c", config, "--at", AT).stderr.decode()
    assert said.count("is gone, and senders may still hold its enforced policy; the same holds for 29 more: ") == 1
    history.write_served(place / "state", LONG_AGO, ("example.com", A, "2026-10-01", None), ("example.org", A.replace("enforce", "testing"), "2026-10-01", None))
    assert check(place, WRITTEN_A)[0] == []


@pytest.mark.parametrize("mode", ["testing", "none"])
def test_policy_that_is_not_enforced_any_more_is_noted(place, mode):
    """T6."""
    served(place, (A, "2026-10-01", None))
    (level, message, _, hint), _ = only(place, f"mode: {mode}, max_age: 2w, mx: a.example.com")
    assert level == "note" and "is not enforced any more, but senders may enforce it until 2026-11-26T02:00:00Z at the earliest" in message
    assert "keep the mx and the certificates" in hint


def test_testing_for_more_than_a_month_is_noted(place):
    """T7: counted over all policies that tested, and from the last that did not."""
    testing = A.replace("enforce", "testing")
    policy = WRITTEN_A.replace("enforce", "testing").replace("id: 1", "id: 3")
    served(place, (testing, "2026-09-01", "2026-11-01"), (testing.replace(" 1 ", " 2 "), "2026-11-01", None))
    (level, message, _, _), _ = only(place, policy)
    assert (level, message) == ("note", 'domain "example.com" has been in testing since 2026-09-01')
    served(place, (testing, "2026-10-20", None))
    assert check(place, policy)[0] == []
    served(place, (testing, "2024-09-01", "2024-09-02"), (A.replace(" 1 ", " 9 "), "2024-09-02", "2024-10-01"), (testing.replace(" 1 ", " 2 "), "2026-10-20", None))
    history.write_seen(place / "state", ("example.com", "9", "2024-09-01", "2024-10-01", 600), ("example.com", "2", "2024-10-01", AT, 600))
    assert check(place, policy)[0] == []


def test_ttl_of_more_than_a_day_is_warned_of(place):
    """T8: whether there is a state or not."""
    assert only(place, WRITTEN_A, ttl="86401")[0][1] == 'ttl "86401" is above one day'
    assert check(place, WRITTEN_A, ttl="1d")[0] == []


def test_earlier_configuration_takes_the_place_of_a_state(place):
    earlier = write(place / "earlier.yaml", WRITTEN_A)
    (place / "state").rmdir()
    lines, found = check(place, WRITTEN_B, "--since", earlier)
    (refused,) = [line for line in lines if "mail" in line[1]]
    assert "refuse mail to b.example.com until 2026-11-26T02:00:00Z at the earliest" in refused[1]
    lines, _ = check(place, WRITTEN_B.replace("id: 2", "id: 1"), "--since", earlier)
    assert [line[0] for line in lines if "has named another policy" in line[1]] == ["error"]
    (place / "config.yaml").write_text("certificates: .\n")
    done = run("check", "-c", place / "config.yaml", "--since", earlier)
    assert b'domain "example.com" is gone' in done.stderr
    earlier.write_text("domains: [\n")
    done = run("check", "-c", place / "config.yaml", "--since", earlier)
    assert done.returncode == 1 and b"earlier.yaml: refused, so nothing was compared" in done.stdout
