"""Commands that are asked about some domains tell and judge these alone; asked about all, they tell
in one line that there is something to see in "check"."""

import json

import pytest

from support.server import run
from support.setup import Setup

BROKEN = 20


@pytest.fixture(name="setup", scope="module")
def fixture_setup(program, authority, tmp_path_factory):
    """Good domains beside faults of every kind."""
    del program
    setup = Setup(tmp_path_factory.mktemp("asked"), authority)
    folder = setup.root / "d"
    folder.mkdir()
    setup.certify("good.example", "other.example", "one.example", "two.example")
    setup.certify("old.example", begin=-9, end=-1)
    default = {"mode": "enforce", "max_age": "2w", "mx": ["mail.example.com"]}
    setup.write(
        {
            "good.example": None,
            "old.example": None,
            "main.example": "bad",
            "other.example": {"policy": "default", "mx": "a_b.example"},
        },
        policies={"default": default, "bad": {**default, "mode": "nun"}},
        include="d/*.yaml",
    )
    for i in range(BROKEN):
        text = f"{{policy: default, mode: nun{i}, max_age: 3, mx: a_b.c}}"
        (folder / f"b{i}.yaml").write_text(f"domains: {{b{i}.example: {text}}}\n")
    (folder / "torn.yaml").write_text("domains: {torn.example: \n")
    (folder / "empty.yaml").write_text("")
    (folder / "pair.yaml").write_text(
        "policies:\n  own: {mode: testing, max_age: 1w, mx: mx.example}\n"
        "domains:\n  one.example: own\n  two.example: {policy: own, max_age: 1}\n"
    )
    (folder / "twice.yaml").write_text("domains:\n  t.example:\n  u.example:\n  t.example:\n")
    return setup


def ask(setup, *arguments, status, **options):
    done = run(*arguments[:1], "-c", setup.config, *arguments[1:], **options)
    assert done.returncode == status, (done.stdout, done.stderr)
    return done.stdout.decode(), done.stderr.decode()


COMMANDS = [
    ("check", "good.example"),
    ("list", "good.example"),
    ("dns", "good.example"),
    ("policy", "good.example"),
    ("hosts", "good.example"),
    ("check", "GOOD.example."),
    ("list", "go*.example"),
    ("check", "one.example"),
    ("list", "one.example"),
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_good_domain_beside_faults(setup, arguments):
    _, err = ask(setup, *arguments, status=0)
    assert err == ""


@pytest.mark.parametrize("command", ["list", "dns"])
def test_one_line_for_all(setup, command):
    _, err = ask(setup, command, status=1)
    lines = err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("mta-sts-httpd: ") and f'"mta-sts-httpd check -c {setup.config}"' in lines[0]
    checked = json.loads(ask(setup, "check", "--json", status=1)[0])
    assert f" ({checked['errors']} errors): " in lines[0]
    files = {one["file"] for one in checked["diagnostics"] if one["level"] == "error"}
    assert f" {len(files)} files have faults " in lines[0]


@pytest.mark.parametrize("command", ["list", "dns"])
def test_few_errors_are_told(setup, tmp_path, authority, command):
    few = Setup(tmp_path / "few", authority)
    few.certify("good.example")
    few.write({"good.example": None, "bad.example": {"policy": "default", "mode": "nun"}})
    _, err = ask(few, command, status=1)
    assert 'error: mode "nun" is none of' in err and "faults" not in err


@pytest.mark.parametrize(
    "domain, words",
    [
        ("b3.example", ['mode "nun3"', "max_age 3", "a_b.c"]),
        ("main.example", ['mode "nun" is']),
        ("other.example", ["a_b.example"]),
        ("two.example", ["max_age 1 is"]),
        ("old.example", ["the certificate expired"]),
        ("t.example", ['"t.example" is defined twice']),
        ("torn.example", ["not valid YAML", "torn.yaml mentions it"]),
    ],
)
def test_faults_of_the_domain(setup, domain, words):
    for command in ("check", "list", "dns"):
        _, err = ask(setup, command, domain, status=1)
        errors = [line for line in err.splitlines() if ": error: " in line]
        assert all(word in err for word in words), err
        assert len(errors) == (1 if len(words) == 1 or domain == "torn.example" else len(words)), err
    checked = json.loads(ask(setup, "check", "--json", domain, status=1)[0])
    assert checked["errors"] == len(errors)


def test_neighbour_of_what_is_there_twice(setup):
    _, err = ask(setup, "list", "u.example", status=0)
    assert err == ""


def test_summary_of_some(setup):
    out, _ = ask(setup, "check", "good.example", "b1.example", status=1)
    assert "1 domain served" in out and "1 refused" in out and "3 errors" in out


def test_unknown_domain(setup):
    _, err = ask(setup, "check", "goood.example", status=1)
    assert err == 'mta-sts-httpd: domain "goood.example" is not configured; did you mean "good.example"?\n'
    _, err = ask(setup, "check", "x*.nowhere", status=1)
    assert "no configured domain matches" in err


def test_what_refuses_the_whole_is_told_to_everybody(setup, tmp_path, authority):
    whole = Setup(tmp_path / "whole", authority)
    whole.certify("good.example")
    whole.write({"good.example": None, "bad.example": {"policy": "default", "mode": "nun"}}, strict=True)
    for command in ("check", "list", "dns", "policy"):
        _, err = ask(whole, command, "good.example", status=1)
        assert 'mode "nun"' in err


def check_input(setup, text, status):
    return ask(setup, "check", "-", status=status, input=text.encode())


def test_input_is_one_more_file(setup):
    out, err = check_input(setup, "domains: {good2.example: }\n", 0)
    assert out.startswith("-: ") and "no certificate with its key covers mta-sts.good2.example" in err
    # It is judged with the policies of the main file, and told with places of its own.
    _, err = check_input(setup, "domains:\n  a.example: bad\n  b.example: {mode: nun}\n", 1)
    assert 'mta-sts.yaml:' in err and '-:3:3: error: domain "b.example" lacks' in err
    _, err = check_input(setup, "domains: {a.example: \n", 1)
    assert err.startswith("-:2:1: error: not valid YAML")


def test_input_takes_the_place_of_a_file(setup):
    _, err = check_input(setup, "domains: {b1.example: , one.example: }\n", 0)
    assert 'b1.yaml:1:11: note: domain "b1.example" is in this file now' in err
    assert "nun1" not in err
    _, err = check_input(setup, "domains: {good.example: }\n", 1)
    assert '-:1:11: error: domain "good.example" is defined twice' in err


@pytest.mark.parametrize("text", ["", "# nothing\n", "domains:\n"])
def test_input_without_a_domain(setup, text):
    _, err = check_input(setup, text, 1)
    assert "standard input names no domain" in err


@pytest.mark.parametrize(
    "command", ["serve", "reload", "check", "policy", "list", "hosts", "dns", "seal", "probe", "health"]
)
@pytest.mark.parametrize("operand", ["mta-sts.yaml", "./there", "not-there.YML", "plain"])
def test_configuration_as_an_operand(tmp_path, command, operand):
    """It is written without -c, and no domain looks like that."""
    (tmp_path / "mta-sts.yaml").write_text("domains: {a.example: {}}\n")
    (tmp_path / "plain").write_text("")
    done = run(command, operand, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, b"")
    wanted = f'mta-sts-httpd: a configuration is named by an option: write -c "{operand}"\n'
    assert done.stderr.decode().startswith(wanted)


def test_two_configurations(tmp_path):
    (tmp_path / "a.yaml").write_text("domains: {}\n")
    done = run("check", "-c", "a.yaml", "b.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert b'one configuration is read, that of -c, and not "b.yaml"' in done.stderr


def test_file_with_the_name_of_a_domain(setup, tmp_path):
    """A folder of sites has such files; the domain is meant."""
    (tmp_path / "good.example").write_text("")
    ask(setup, "check", "good.example", status=0, cwd=tmp_path)


def test_lost_key_of_many_domains(tmp_path, authority):
    """One line for the cause, with some of the domains; as JSON all of them."""
    setup = Setup(tmp_path, authority)
    names = [f"d{i}.example" for i in range(25)]
    setup.certify(*names, folder="shared")
    for key in tmp_path.rglob("privkey*.pem"):
        key.unlink()
    setup.write(names)
    done = run("check", "-c", setup.config)
    told = [line for line in done.stderr.decode().splitlines() if "d24.example" in line or "d1.example" in line]
    assert len(told) == 1 and "covers mta-sts.d0.example; the same holds for 24 more: mta-sts.d1.example, " in told[0]
    assert len(done.stderr.splitlines()) < 10
    judged = json.loads(run("check", "--json", "-c", setup.config).stdout)
    found = [one for one in judged["diagnostics"] if "no certificate with its key covers" in one["message"]]
    assert len(found) == judged["warnings"] == 25
