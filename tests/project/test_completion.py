"""What the shells complete: the real bash and fish are asked, and zsh is asked what it would offer."""

import re
import shutil
import subprocess

import pytest

from support import documents, tables, tree

FOLDER = tree.ROOT / "config" / "completion"
COMMANDS = {command.name: command for command in tables.commands()}
DOMAINS = ["example.com", "example.net", "shop.example.com"]
VALUES = {
    "FORMAT": ["json", "nsupdate", "zone"],
    "COLUMN": ["domain", "expires", "id", "max_age", "mode", "state"],
    "STATE": ["no-certificate", "refused", "served", "stale"],
}

# Without programmable completion's own functions: what readline would put into the variables.
BASH = """
compopt() { :; }
. "$1"
shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_mta_sts_httpd "$1" "${@: -1}" "${@: -2:1}"
printf '%s\\n' "${COMPREPLY[@]}"
"""
FISH = 'source $argv[1]; complete -C "$argv[2..]" | string replace -r "\\t.*" ""; true'
# The functions of zsh that would show it print it instead.
ZSH = """
_describe() { print -rl -- ${${(P)4}%%:*} }
_arguments() { print -rl -- "$@" }
compadd() { [[ $1 == -a ]] && print -rl -- ${(P)2} || print -rl -- $@[2,-1] }
file=$1
shift
words=("$@") CURRENT=$# PREFIX=$words[-1]
source $file
true
"""


@pytest.fixture(name="path")
def fixture_path(tmp_path, program):
    """A folder with the program by its name, a configuration and something to complete to."""
    (tmp_path / "mta-sts-httpd").symlink_to(program)
    lines = [f"  {domain}:\n" for domain in DOMAINS]
    (tmp_path / "some.yaml").write_text(
        "policies: {default: {mode: none, max_age: 1w, mx: a.b}}\ndomains:\n" + "".join(lines)
    )
    (tmp_path / "folder").mkdir()
    return tmp_path


def ask(path, *command):
    """The lines that the shell prints, which complains about nothing."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=path,
        env={"PATH": f"{path}:/usr/bin:/bin", "HOME": str(path), "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return sorted(filter(None, done.stdout.splitlines()))


def in_bash(path, *words):
    # readline makes words of their own of the "=" between two.
    words = [part for word in words for part in (re.split("(=)", word) if "=" in word else [word])]
    if words[-2:] == ["=", ""]:
        words.pop()
    return ask(path, "bash", "-c", BASH, "bash", FOLDER / "mta-sts-httpd.bash", "mta-sts-httpd", *words)


def in_fish(path, *words):
    """Without what stands in front of a value, which bash does not repeat, and the slash of a folder."""
    line = " ".join(["mta-sts-httpd", *words])
    found = ask(path, "fish", "--no-config", "-c", FISH, FOLDER / "mta-sts-httpd.fish", line)
    front = words[-1].rpartition("=")
    return [line.removeprefix(front[0] + front[1]).rstrip("/") for line in found]


SHELLS = [
    pytest.param(in_bash, id="bash"),
    pytest.param(in_fish, id="fish", marks=pytest.mark.skipif(not shutil.which("fish"), reason="no fish")),
]


def in_zsh(path, *words):
    return ask(path, "zsh", "-f", "-c", ZSH, "zsh", FOLDER / "mta-sts-httpd.zsh", "mta-sts-httpd", *words)


needs_zsh = pytest.mark.skipif(not shutil.which("zsh"), reason="no zsh")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_syntax(shell):
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell}")
    done = subprocess.run(
        [shell, "-n", FOLDER / f"mta-sts-httpd.{shell}"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("complete", SHELLS)
@pytest.mark.parametrize("words", [[""], ["help", ""]], ids=str)
def test_commands(complete, words, path):
    assert complete(path, *words) == sorted([*COMMANDS, "help"])


@pytest.mark.parametrize("complete", SHELLS)
@pytest.mark.parametrize("name", COMMANDS)
def test_options(complete, name, path):
    wanted = {"--help"} | {f"--{option.name}" for option in COMMANDS[name].options}
    assert complete(path, name, "--") == sorted(wanted)


@needs_zsh
@pytest.mark.parametrize("name", COMMANDS)
def test_options_in_zsh(name, path):
    found = in_zsh(path, name, "--")
    for option in COMMANDS[name].options:
        for form in filter(None, [f"--{option.name}", option.letter and "-" + option.letter]):
            (spec,) = [one for one in found if re.search(rf"\){form}=?\[", one)]
            assert f"[{option.text}]" in spec and (f":{option.argument}:" in spec) is bool(option.argument)
            for value in VALUES.get(option.argument, []):
                assert re.search(rf"[( ]{value}[ )]", spec)
    assert any(one.startswith("*:") for one in found) is bool(COMMANDS[name].operands)


@needs_zsh
def test_commands_in_zsh(path):
    assert in_zsh(path, "") == sorted([*COMMANDS, "help"])


def test_kinds_of_values_are_known():
    """Each kind of value is completed, or is one that nobody can know."""
    script = (FOLDER / "mta-sts-httpd.bash").read_text()
    for option in tables.options():
        known = option.argument in ("", "ADDRESS", "DATE", "DURATION", "N")
        assert known or re.search(rf"^    \*?{option.argument}\*?\)", script, re.M), option


@pytest.mark.parametrize("kind", VALUES)
def test_values_are_those_of_the_help(kind):
    (option,) = [option for option in tables.options() if option.argument == kind]
    words = option.text.partition(": ")[2] or option.text
    assert sorted(re.findall(r"[\w-]+", re.sub(r" \(default\)| or", "", words))) == VALUES[kind]


@pytest.mark.parametrize("complete", SHELLS)
@pytest.mark.parametrize(
    "words, wanted",
    [
        (["l"], ["list"]),
        (["-"], ["--help", "--version"]),
        (["list", "--s"], ["--senders", "--sort", "--state"]),
        (["list", "--sort", "m"], ["max_age", "mode"]),
        (["list", "--sort="], VALUES["COLUMN"]),
        (["list", "--state", ""], VALUES["STATE"]),
        (["dns", "-f", ""], VALUES["FORMAT"]),
        (["dns", "--format=n"], ["nsupdate"]),
        (["check", "-c", "s"], ["some.yaml"]),
        (["check", "--config=s"], ["some.yaml"]),
        (["import", "--search", "f"], ["folder"]),
        (["import", "--search", "s"], ["some.yaml"]),
        (["import", "example.com=s"], ["some.yaml"]),
        (["import", "--keep-id", "s"], ["some.yaml"]),
        (["policy", "-c", "some.yaml", ""], DOMAINS),
        (["policy", "-c", "some.yaml", "s"], ["shop.example.com"]),
        (["list", "--config=some.yaml", "--json", "example.n"], ["example.net"]),
        (["policy", "-c", "missing.yaml", ""], []),
        (["probe", "--timeout", ""], []),
        (["check", ""], []),
        (["novel", "--"], []),
    ],
    ids=lambda value: " ".join(value) if value else "nothing",
)
def test_words(complete, words, wanted, path):
    assert complete(path, *words) == wanted


@needs_zsh
def test_domains_in_zsh(path):
    script = f"source {FOLDER / 'mta-sts-httpd.zsh'} >/dev/null 2>&1\n"
    show = "compadd() { print -rl -- ${(P)2} }\ntypeset -A opt_args=(-c some.yaml)\nPREFIX=example\n"
    found = ask(path, "zsh", "-f", "-c", show + script + "_mta-sts-httpd-domains mta-sts-httpd")
    assert found == ["example.com", "example.net"]


def test_nothing_is_run_that_is_typed(path):
    in_bash(path, "policy", "-c", "$(touch${IFS}evil)", "")
    assert not (path / "evil").exists()


MISSPELT = [
    (["lits"], 'unknown command "lits"; did you mean "list"?'),
    (["quark"], 'unknown command "quark"'),
    (["help", "chek"], 'unknown command "chek"; did you mean "check"?'),
    (["check", "--jsn"], 'unknown option "--jsn"; did you mean "--json"?'),
    (["check", "--confg=a"], 'unknown option "--confg=a"; did you mean "--config"?'),
    (["check", "--quark"], 'unknown option "--quark"'),
    (["policy", "--json", "a"], 'this command has no option "--json"'),
    (["check", "--json=yes"], 'option "--json=yes" takes no value'),
    (["check", "-jx"], 'unknown option "-x"'),
    (["check", "-xj"], 'unknown option "-x"'),
    (["check", "-c"], 'option "-c" needs a value'),
    ([], "a command is missing"),
]


@pytest.mark.parametrize("words, said", MISSPELT, ids=lambda value: " ".join(value)[:30])
def test_misspelt_word_is_answered_with_the_nearest(program, words, said):
    done = subprocess.run([program, *words], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[0] == f"mta-sts-httpd: {said}"
    assert re.fullmatch(r'Try "mta-sts-httpd (\w+ )?--help"\.', done.stderr.splitlines()[1])
    assert documents.help_of(program, *re.findall(r"mta-sts-httpd (.*?)\"", done.stderr)[-1].split())
