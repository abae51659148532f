"""One drop-in file of a customer, as hostile as can be: the other customers never notice.

Each attack is the worst that was found of its kind: bytes, values, names, aliases, diagnostics,
links, kinds of file. All of them at once lie beside good files while the server loads, reloads and
renews; each of them alone may cost a load at most 2 s of CPU and 64 MB more, and is named.
"""

import json
import os
import subprocess

import pytest

from support import client, tree
from support.setup import DEFAULT_POLICY
from support.wait import until

SIZE = 4 * 1024 * 1024 - 4096  # of the largest file that is read
CUSTOMER = 12345
LETTERS = "b\u00fccher"  # beyond ASCII, for which a hint is worked out
LONG = "." + ".".join(["x" * 60] * 4)
GOOD = [f"good{number}.example" for number in range(20)]
POLICY = "{mode: enforce, max_age: 2w, mx: [mail.example.com]}"
SAID = r"error: |warning: |note: |^    (why|fix): |more lines|: (added|removed|changed|stale)|certificates have changed"


def filled(item, size=SIZE):
    """Pieces until the size is reached; the item is a text, or makes one of a number."""
    pieces, length = [], 0
    while length < size:
        piece = item if isinstance(item, str) else item(len(pieces))
        pieces.append(piece)
        length += len(piece.encode())
    return "".join(pieces[:-1])


def joined(item, count, glue=""):
    return glue.join(item(number) for number in range(count))


def domains(item, count):
    return "domains:\n" + joined(lambda number: f"  d{number}.hostile.example: {item(number)}\n", count)


def long_list(item, count, users):
    """A list of mx that many domains use."""
    names = joined(item, count, ",")
    return (
        f"policies: {{a: {{mode: enforce, max_age: 2w, mx: &m [{names}]}}}}\n"
        + domains(lambda _: "{mode: testing, max_age: 2w, mx: *m}", users)
    )


def changed(item, count, users):
    """A policy that many domains change, each in another way, so that each has its own."""
    names = joined(item, count, ",")
    return f"policies: {{a: {{mode: enforce, max_age: 2w, mx: [{names}]}}}}\n" + domains(
        lambda number: f"{{policy: a, max_age: {86400 + number}}}", users
    )


def colliding(count):
    """Keys that one bucket of a table would hold if its hash were FNV-1a."""
    found, number = [], 0
    while len(found) < count:
        key, value = f"{number:x}", 0xCBF29CE484222325
        for byte in key.encode():
            value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
        if (value ^ value >> 32) & 0xFF == 0:
            found.append(key)
        number += 1
    return found


TEXTS = {
    "bytes-scalar": lambda: "domains: {d.hostile.example: '" + "a" * SIZE + "'}",
    "bytes-block": lambda: "domains: |\n" + filled(" a\n"),
    "bytes-escapes": lambda: '"' + filled("\\U0001F600") + '"',
    "bytes-anchor": lambda: "[&" + "a" * SIZE + " a]",
    "bytes-tag": lambda: "[!<" + "a" * SIZE + "> a]",
    "bytes-blank": lambda: "domains: x" + "\n" * SIZE,
    "bytes-beyond": lambda: "#" * (SIZE + 8192),
    "bytes-far-beyond": lambda: "[" + "a," * (10 << 20) + "]",
    "bytes-directives": lambda: filled(lambda number: f"%TAG !a{number}! x\r"),
    "bytes-documents": lambda: filled("---\n"),
    "bytes-broken": lambda: "domains: " + "a" * SIZE + "\x01",
    "values-flow": lambda: "[" + filled("a,") + "]",
    "values-questions": lambda: "{" + filled("? a,") + "}",
    "values-tags": lambda: "[" + filled("!!str a,") + "]",
    "values-lists": lambda: filled("- a: b\n"),
    "values-deep": lambda: filled("[["),
    "values-deep-block": lambda: filled("- - "),
    "values-deep-mappings": lambda: filled("{a: "),
    "values-domains": lambda: domains(lambda _: "own", 74000),
    "values-changed": lambda: changed(lambda number: f"m{number}.de", 900, 20000),
    "values-changed-long": lambda: changed(lambda number: f"m{number}{LONG}", 40, 20000),
    "values-changed-beyond": lambda: changed(lambda number: f"m{number}.de", 60000, 12000),
    "aliases-reports": lambda: "policies: {a: "
    + POLICY
    + "}\n"
    + "domains:\n  first.hostile.example: {policy: a, tls_rpt: &r ["
    + joined(lambda number: f"'mailto:{'!' * 4000}@{number}'", 300, ",")
    + "]}\n"
    + joined(lambda number: f"  d{number}.hostile.example: {{policy: a, tls_rpt: *r}}\n", 600),
    "aliases-reports-short": lambda: "domains:\n  first.hostile.example: {policy: own, tls_rpt: &r 'mailto:"
    + "a" * 990
    + "@b'}\n"
    + joined(lambda number: f"  d{number}.hostile.example: {{policy: own, tls_rpt: *r}}\n", 19000),
    "names-undefined": lambda: "policies:\n"
    + joined(lambda number: f"  policy{number:05}abcdefgh: {POLICY}\n", 10000)
    + domains(lambda number: f"undefined{number}pqrstu", 20000),
    "names-unknown": lambda: joined(lambda number: f"polcies{number}: \n", 74000),
    "names-colliding": lambda: "policies:\n"
    + "".join(f"  {key}: own\n" for key in colliding(500)),
    "names-twice": lambda: "domains:\n" + "  d.hostile.example: own\n" * 74000,
    "aliases-valid": lambda: long_list(lambda number: f"m{number}.de", 1000, 140),
    "aliases-invalid": lambda: long_list(lambda number: f"b\u00fccher_{number}", 1000, 140),
    "aliases-twice": lambda: long_list(lambda number: "a.de", 1000, 140),
    "aliases-long": lambda: long_list(lambda number: f"m{number}.b.de", 5000, 5000),
    "aliases-of-aliases": lambda: "a0: &a0 x\n"
    + joined(lambda number: f"b{number}: &a{number + 1} [{','.join([f'*a{number}'] * 9)}]\n", 30),
    "aliases-many": lambda: "a: &a x\nb: [" + filled("*a,") + "]",
    "anchors-many": lambda: filled(lambda number: f"a{number}: &a{number} x\n"),
    "diagnostics-many": lambda: domains(
        lambda number: "{mode: x, max_age: y, mx: b\u00fccher_, id: _, tls_rpt: z, x: y}", 12000
    ),
    "diagnostics-names": lambda: "domains:\n"
    + joined(lambda number: f"  {LETTERS * 8}{number}.{LETTERS * 8}: x\n", 30000),
    "diagnostics-long": lambda: domains(lambda number: "'" + "x" * 4000 + "'", 1000),
}


def link(target, owner=CUSTOMER):
    def make(path):
        os.symlink(target, path)
        os.lchown(path, owner, owner)

    return make


def hard_link(path):
    secret = path.parent.parent / "secret"
    secret.write_text("domains: {secret: x}\n")
    secret.chmod(0o600)
    os.chmod(path.parent, 0o777)
    os.link(secret, path)


def device(path):
    os.mknod(path, 0o20666, os.makedev(1, 5))  # /dev/zero, which has no end


KINDS = {
    "links-secret": link("/etc/shadow"),
    "links-zero": link("/dev/zero"),
    "links-loop": lambda path: link(path.name)(path),
    "links-dangling": link("nowhere"),
    "links-folder": link("/etc/ssl/../shadow"),
    "links-hard": hard_link,
    "kinds-pipe": os.mkfifo,
    "kinds-device": device,
}


def lay(path, name):
    if name in TEXTS:
        path.write_text(TEXTS[name]())
    else:
        KINDS[name](path)


def needs_root(name):
    if name in KINDS and os.geteuid() != 0:
        pytest.skip("only root can make files of another owner")


@pytest.fixture(scope="module")
def quiet_load(tmp_path_factory):
    """What a load costs without the file."""
    root = tmp_path_factory.mktemp("quiet")
    return root, cost(configuration(root))[:2]


def configuration(root):
    (root / "d").mkdir(exist_ok=True)
    text = f"include: d/*.yaml\nlisten: {{address: '127.0.0.1:1', tls: false}}\npolicies: {{own: {POLICY}}}\n"
    (root / "mta-sts.yaml").write_text(text + "domains: {good.example: own}\n")
    return root / "mta-sts.yaml"


def cost(config):
    """Seconds of CPU and MB of memory that "check" takes, and what it says."""
    with open(config.parent / "said", "w+b") as said:
        process = subprocess.Popen([tree.program(), "check", "--json", "-c", config], stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, said.read()


@pytest.mark.parametrize("name", [*TEXTS, *KINDS])
def test_costs_little_and_is_named(quiet_load, tmp_path, name):
    needs_root(name)
    _, (cpu, memory) = quiet_load
    config = configuration(tmp_path)
    path = tmp_path / "d" / "hostile.yaml"
    lay(path, name)
    try:
        taken, used, said = cost(config)
    finally:
        path.unlink()
    judged = json.loads(said)
    assert judged["served"] >= 1
    found = [diagnostic for diagnostic in judged["diagnostics"] if diagnostic["file"] == str(path)]
    assert found or name == "values-domains"
    assert len(found) <= 3 * 101
    assert b"root:" not in said and b"secret\\\"" not in said
    if not tree.instrumented():
        assert taken - cpu < 2.0
        assert used - memory < 64


def good(domain, max_age):
    return f"domains:\n  {domain}: {{mode: enforce, max_age: {max_age}, mx: [mail.{domain}]}}\n"


def lay_good(setup, max_age):
    for domain in GOOD:
        (setup.root / "d" / f"{domain}.yaml").write_text(good(domain, max_age))


def assert_served(running, trusted, max_age, number=None):
    """All good domains, with the certificate of that number."""
    for domain in GOOD:
        answer = client.fetch(running.port, "mta-sts." + domain, trusted)
        assert (answer.status, f"max_age: {max_age}".encode() in answer.body) == (200, True), domain


def serial(running, trusted):
    with client.Connection(running.port, "mta-sts." + GOOD[0], trusted) as stream:
        return stream.tls.getpeercert()["serialNumber"]


def test_others_are_served_reloaded_and_renewed(setup, start, trusted):
    """With every attack at once."""
    (setup.root / "d").mkdir()
    (setup.root / "state").mkdir()
    setup.certify(*GOOD, folder="good")
    lay_good(setup, "2w")
    config = setup.write([], include="d/*.yaml", state="state", policies={"own": DEFAULT_POLICY})
    running = start(config, expect=[SAID, r"ready: "])
    assert_served(running, trusted, 1209600)
    try:
        for name in [*TEXTS, *(KINDS if os.geteuid() == 0 else [])]:
            lay(setup.root / "d" / f"{name}.yaml", name)
        lay_good(setup, "3w")
        assert running.reload(seconds=90)
        assert_served(running, trusted, 1814400)
        before = serial(running, trusted)
        setup.certify(*GOOD, folder="good")
        until(lambda: serial(running, trusted) != before, "the new certificate", 60)
        assert_served(running, trusted, 1814400)
        running.stop()
        running = start(config, expect=[SAID, r"ready: "])
        assert_served(running, trusted, 1814400)
    finally:
        # Whatever reads it later would wait for ever.
        (setup.root / "d" / "kinds-pipe.yaml").unlink(missing_ok=True)


@pytest.mark.parametrize("name", ["names-undefined", "aliases-twice", "links-secret", "kinds-pipe"])
def test_log_names_the_file(setup, start, trusted, name):
    needs_root(name)
    (setup.root / "d").mkdir()
    setup.certify(*GOOD, folder="good")
    lay_good(setup, "2w")
    running = start(setup.write([], include="d/*.yaml"), expect=[SAID])
    lay(setup.root / "d" / "hostile.yaml", name)
    since = running.mark()
    assert running.reload(seconds=60)
    running.wait_line(r"d/hostile\.yaml:.* error: ", since=since)
    assert not any("root:" in line for line in running.lines)
    assert_served(running, trusted, 1209600)
