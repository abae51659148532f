"""Of 500 domains in drop-in files 50 are broken in 50 ways: the other 450 never notice."""

import json
import os

import pytest

from support import client
from support.server import run

DOMAINS = [f"d{number:03}.example" for number in range(500)]
BROKEN = DOMAINS[::10]
SAID = r"error: |warning: |note: |^    (why|fix): "


def good(domain, max_age="2w"):
    return f"domains:\n  {domain}: {{mode: enforce, max_age: {max_age}, mx: [mail.{domain}]}}\n"


def value(text):
    """A drop-in with another value behind the domain."""
    return lambda domain: f"domains:\n  {domain}: {text}\n"


def policy(mode="enforce", max_age="2w", mx="mail.example.com", more=""):
    return value(f"{{mode: {mode}, max_age: {max_age}, mx: {mx}{more}}}")


# Each loses the domain its policy. The last ones lose sight of the domain itself.
WAYS = [
    policy(mode="Enforce"), policy(mode="on"), policy(mode="[enforce]"), policy(mode=""),
    policy(max_age="0"), policy(max_age="60"), policy(max_age="86399"), policy(max_age="31557601"),
    policy(max_age="two weeks"), policy(max_age="-1"), policy(max_age="1.5d"), policy(max_age=""),
    policy(mx="[]"), policy(mx=""), policy(mx="192.0.2.1"), policy(mx='"2001:db8::1"'),
    policy(mx="localhost"), policy(mx="mail.example.com."), policy(mx="a_b.example.com"),
    policy(mx="bücher.example"), policy(mx='"*"'), policy(mx='"*.*.example"'),
    policy(mx='"a*.example.com"'), policy(mx="-a.example.com"), policy(mx=".example.com"),
    policy(mx="a..example.com"), policy(mx="x" * 64 + ".example"), policy(mx="[a.example, A.example]"),
    policy(mx="[{a: b}]"), policy(mx="postmaster@example.com"), policy(more=", id: a-b"),
    policy(more=', id: ""'), policy(more=", modus: none"), policy(more=", mode: none"),
    policy(more=", tls_rpt: nobody"), value("nothing"), value("[default]"),
    value("{mode: testing}"), value("{policy: nothing, mode: testing}"), value("{<<: {}, mode: none}"),
    lambda domain: good(domain) + f"  {domain}: default\n",
    lambda domain: good(domain) + f"  {domain.upper()}: default\n",
    lambda domain: "domains: [\n",
    lambda domain: "domains:\n\t" + domain + ": default\n",
    lambda domain: "listen: 127.0.0.1:1\n" + good(domain),
    lambda domain: "domain:\n  " + domain + ": default\n",
    lambda domain: good(domain) + "---\n" + good(domain),
    lambda domain: good(domain).replace(domain, domain + "\\ ", 1),
    lambda domain: "domains:\n  " + domain + ": *nothing\n",
    lambda domain: "- " + domain + "\n",
]


@pytest.fixture
def place(setup):
    (setup.root / "domains.d").mkdir()
    (setup.root / "state").mkdir()
    leaves = [DOMAINS[start::5] for start in range(5)]
    for number, names in enumerate(leaves):
        setup.certify(*names, folder=f"shared{number}")
    setup.write([], include="domains.d/*.yaml", state="state")
    for domain in DOMAINS:
        drop_in(setup, domain, good(domain))
    return setup


def drop_in(setup, domain, text):
    (setup.root / "domains.d" / f"{domain}.yaml").write_text(text)


def break_all(setup):
    for domain, way in zip(BROKEN, WAYS, strict=True):
        drop_in(setup, domain, way(domain))


def answers(running, context, domains):
    """Which status and policy each domain has; 0 for one that is not known."""
    found = {}
    for domain in domains:
        try:
            answer = client.fetch(running.port, "mta-sts." + domain, context)
            found[domain] = (answer.status, answer.body)
        except OSError:
            found[domain] = (0, b"")
    return found


def served(max_age, domains):
    body = "version: STSv1\r\nmode: enforce\r\nmx: mail.{}\r\nmax_age: {}\r\n"
    return {domain: (200, body.format(domain, max_age).encode()) for domain in domains}


def listed(setup):
    """The state of each domain and what check says of the broken ones."""
    done = run("list", "--json", "-c", setup.config)
    said = run("check", "-c", setup.config).stderr.decode()
    return {row["domain"]: row["state"] for row in json.loads(done.stdout)}, said


def test_the_ways_are_fifty_and_each_breaks(place):
    assert len(WAYS) == len(BROKEN) == 50
    break_all(place)
    states, said = listed(place)
    assert sum(state == "served" for state in states.values()) == 450
    for domain in BROKEN:
        assert states.get(domain, "refused") == "refused"
        assert f"domains.d/{domain}.yaml:" in said


def test_others_never_notice(place, start, trusted):
    healthy = [domain for domain in DOMAINS if domain not in BROKEN]
    running = start(place.config, expect=[SAID, r"\(50 stale\)"])
    assert answers(running, trusted, DOMAINS) == served(1209600, DOMAINS)

    break_all(place)
    assert running.reload()
    assert answers(running, trusted, DOMAINS) == served(1209600, DOMAINS)
    states, said = listed(place)
    assert {domain for domain, state in states.items() if state == "stale"} == set(BROKEN)
    assert all(f"domains.d/{domain}.yaml:" in said for domain in BROKEN)
    running.stop()

    running = start(place.config, expect=[SAID, r"\(50 stale\)"])
    assert answers(running, trusted, DOMAINS) == served(1209600, DOMAINS)

    for domain in BROKEN:
        drop_in(place, domain, good(domain, "3w"))
    assert running.reload()
    assert answers(running, trusted, BROKEN) == served(1814400, BROKEN)
    assert answers(running, trusted, healthy[::9]) == served(1209600, healthy[::9])
    assert set(listed(place)[0].values()) == {"served"}


def test_without_a_past_they_are_refused(place, start, trusted):
    break_all(place)
    healthy = [domain for domain in DOMAINS if domain not in BROKEN]
    running = start(place.config, expect=[SAID, r"refused\)"])
    assert answers(running, trusted, healthy) == served(1209600, healthy)
    for status, body in answers(running, trusted, BROKEN).values():
        assert (status, body) in ((503, b"policy-unavailable\n"), (0, b""))


def own_policy(domain, owner, mode="enforce", max_age="2w"):
    """A drop-in with a policy of the name that all others have, too."""
    return (
        f"policies:\n  own: {{mode: {mode}, max_age: {max_age}, mx: [mail.{owner}]}}\n"
        f"domains:\n  {domain}: own\n"
    )


VICTIM, ATTACKER = DOMAINS[7], DOMAINS[3]  # the attacker's file is read first


@pytest.mark.parametrize("end", ["reload", "restart"])
def test_no_file_decides_about_the_domain_of_another(place, start, trusted, end):
    """Whatever the attacker's file says of the victim's policy or domain, while the victim's file is
    sound, broken, empty or without its policy: the victim has his last valid policy."""
    expected = served(1209600, [VICTIM])
    drop_in(place, VICTIM, own_policy(VICTIM, VICTIM))
    drop_in(place, ATTACKER, own_policy(ATTACKER, ATTACKER))
    running = start(place.config, expect=[SAID, r"\(1 stale\)"])
    assert answers(running, trusted, [VICTIM]) == expected
    hostile = own_policy(ATTACKER, "attacker.example", max_age="52w") + f"  {VICTIM}: own\n"
    for text in (
        own_policy(VICTIM, VICTIM),
        f"domains:\n  {VICTIM}: own\n",
        f"domains:\n  {VICTIM}: {{policy: own, mode: testing}}\n",
        own_policy(VICTIM, VICTIM, mode="on"),
        "domains: [\n",
    ):
        drop_in(place, ATTACKER, hostile)
        drop_in(place, VICTIM, text)
        if end == "reload":
            assert running.reload(), text
        else:
            running.stop()
            running = start(place.config, expect=[SAID, r"\(1 stale\)"])
        assert answers(running, trusted, [VICTIM]) == expected, text
    # Without his file the domain is free; its next owner is served.
    (place.root / "domains.d" / f"{VICTIM}.yaml").unlink()
    assert running.reload()
    assert answers(running, trusted, [VICTIM])[VICTIM][1].count(b"attacker.example") == 1


def test_policy_that_was_valid_once_is_not_that_of_a_namesake(place, start, trusted):
    """A policy that another file has under the same name does not replace the one that is missing."""
    drop_in(place, VICTIM, own_policy(VICTIM, VICTIM))
    drop_in(place, ATTACKER, own_policy(ATTACKER, ATTACKER))
    drop_in(place, DOMAINS[8], f"domains:\n  {DOMAINS[8]}: own\n")
    running = start(place.config, expect=[SAID, r"\(1 refused\)", r"\(1 stale\) \(1 refused\)"])
    assert answers(running, trusted, [VICTIM]) == served(1209600, [VICTIM])
    assert answers(running, trusted, [DOMAINS[8]])[DOMAINS[8]][0] == 503
    drop_in(place, VICTIM, f"domains:\n  {VICTIM}: own\n")
    assert running.reload()
    assert answers(running, trusted, [VICTIM]) == served(1209600, [VICTIM])
    assert listed(place)[0][VICTIM] == "stale"


EMPTY = ["", "# nothing\n", "---\n", "domains:\n", "domains: {}\n", "policies: {}\n", "\ufeff"]


@pytest.mark.parametrize("end", ["reload", "restart"])
def test_emptied_file_keeps_its_domains(place, start, trusted, end):
    """Whatever is left of it, until the file itself is removed."""
    two = f"more.{VICTIM}"
    place.certify(two)
    full = good(VICTIM) + f"  {two}: {{mode: enforce, max_age: 2w, mx: [mail.{two}]}}\n"
    drop_in(place, VICTIM, full)
    running = start(place.config, expect=[SAID, r"stale\)"])
    expected = served(1209600, [VICTIM, two])
    for text in EMPTY:
        drop_in(place, VICTIM, text)
        if end == "reload":
            assert running.reload(), text
        else:
            running.stop()
            running = start(place.config, expect=[SAID, r"stale\)"])
        assert answers(running, trusted, [VICTIM, two]) == expected, text
        # A fault that is still there is logged once.
        running.wait_line(rf"d/{VICTIM}\.yaml: error: the file does not name {VICTIM} any more")
        states, words = listed(place)
        assert (states[VICTIM], states[two]) == ("stale", "stale")
        assert f"{VICTIM}.yaml: error: the file does not name {VICTIM} any more" in words
    # A line that is removed from among others is meant.
    drop_in(place, VICTIM, good(VICTIM))
    assert running.reload()
    assert answers(running, trusted, [VICTIM, two]) == {**served(1209600, [VICTIM]), two: (0, b"")}
    (place.root / "domains.d" / f"{VICTIM}.yaml").unlink()
    assert running.reload()
    assert answers(running, trusted, [VICTIM]) == {VICTIM: (0, b"")}
    assert VICTIM not in listed(place)[0]


def test_folder_in_place_of_a_file_keeps_its_domains(place, start, trusted):
    """At a reload, and at the renewal of a certificate after it, which reads no file again."""
    running = start(place.config, expect=[SAID, r"stale\)", "certificates have changed"])
    path = place.root / "domains.d" / f"{VICTIM}.yaml"
    path.unlink()
    path.mkdir()
    assert running.reload()
    assert answers(running, trusted, [VICTIM]) == served(1209600, [VICTIM])
    assert listed(place)[0][VICTIM] == "stale"
    since = running.mark()
    place.certify(*DOMAINS[0::5], folder="shared0")
    running.wait_line("certificates have changed", since=since, seconds=60)
    running.wait_ready(running.generation + 1, since=since)
    assert answers(running, trusted, [VICTIM]) == served(1209600, [VICTIM])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_folder_that_cannot_be_searched_keeps_its_domains(place, start, trusted):
    """The server has no right to search one customer's folder: the others are served, and his, too."""
    own = place.root / "customers" / "one"
    own.mkdir(parents=True)
    (own / "policy.yaml").write_text(good(f"own.{VICTIM}"))
    place.certify(f"own.{VICTIM}")
    place.write([], include=["domains.d/*.yaml", "customers/*/*.yaml"], user=None)
    for path in [place.root, *place.root.parents, *place.root.rglob("*")]:
        if str(path).startswith("/tmp/"):
            os.chmod(path, os.stat(path).st_mode | (0o755 if path.is_dir() else 0o644))
    prefix = ["setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups"]
    expected = served(1209600, [f"own.{VICTIM}", VICTIM])
    running = start(place.config, prefix=prefix, expect=[SAID, "sealed", r"stale\)", "certificates have"])
    assert answers(running, trusted, expected) == expected
    os.chmod(own, 0o700)
    drop_in(place, VICTIM, good(VICTIM, "3w"))
    since = running.mark()
    assert running.reload()
    running.wait_line(r"customers/one: error: cannot be searched: Permission denied", since=since)
    expected.update(served(1814400, [VICTIM]))
    assert answers(running, trusted, expected) == expected
    since = running.mark()
    place.certify(*DOMAINS[0::5], folder="shared0")
    for path in (place.root / "certs").rglob("*"):
        os.chmod(path, 0o755 if path.is_dir() else 0o644)
    running.wait_line("certificates have changed", since=since, seconds=60)
    running.wait_ready(running.generation + 1, since=since)
    assert answers(running, trusted, expected) == expected
