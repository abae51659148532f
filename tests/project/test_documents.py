"""The schema, the manual pages, the help, the README and the sample say what the source does: the
same keys, commands, options and defaults. Who adds one has to write of it everywhere."""

import re
import subprocess

import pytest

from support import documents, editor, tables, tree

PAGES = [documents.MANUAL, documents.MANUAL_OF_CONFIGURATION, documents.CONFIG / "mta-sts-life.7"]
SERVER = tree.ROOT / "server"


def only(pattern, name):
    """What the one match of the pattern in the file has in its group."""
    (found,) = re.findall(pattern, (SERVER / name).read_text(), re.S)
    return found


def source_defaults():
    """What stands for a key that is not there: the first word of its row, or what its reader says."""
    absent = r"\bread_%s\(.*?node == NULL \|\| span_equal\(node->text, span_of\(\"(\w+)\"\)\)"
    assert tree.LIMITS["LIMIT_CERTIFICATE_WARNING"] == 21 * 86400  # what auto means is in the documents
    only(r"\.certificate_warning = (VERDICT_WARNING_DEFAULT),", "configuration/settings.c")
    source = (SERVER / "configuration/settings.c").read_text()
    words = tables.first_words()
    assert words.pop(("root", "watch")) is None  # it is neither, which the documents say in words
    return {
        **words,
        ("root", "listen"): only(
            r"node == NULL\).*?is_default = true.*?address_parse\(span_of\(\"(.*?)\"", "configuration/settings.c"
        ),
        ("root", "workers"): re.search(absent % "workers", source, re.S)[1],
        ("root", "certificate_warning"): re.search(absent % "warning", source, re.S)[1],
    }


def test_every_key_is_documented_everywhere():
    assert documents.key_faults(tables.keys()) == []


def test_every_default_is_the_same_everywhere():
    assert documents.default_faults(source_defaults()) == []


def test_every_command_and_option_is_in_the_manual():
    assert documents.manual_faults(tables.commands(), tables.options()) == []


def test_every_command_and_option_is_in_the_help(program):
    assert documents.help_faults(program, tables.commands(), tables.options()) == []


def test_every_command_and_option_is_in_the_readme():
    assert documents.readme_faults(tables.commands()) == []


# The checks above, shown to fail.


def added(check, *after, before):
    """What the check says of the second and not of the first."""
    return sorted(set(check(*after)) - set(check(*before)))


@pytest.mark.parametrize("table", tables.keys())
def test_new_key_is_missed_everywhere(table):
    keys = tables.keys()
    keys[table] = [*keys[table], "novel"]
    faults = documents.key_faults(keys)
    places = [editor.MAIN]
    if table != "dropin":
        places += [documents.MANUAL_OF_CONFIGURATION.name, documents.SAMPLE.name]
    for place in places:
        assert any(fault.startswith(place) and "novel" in fault for fault in faults), place


def test_lost_key_is_found():
    keys = tables.keys()
    keys["root"].remove("seal")
    faults = added(documents.key_faults, keys, before=[tables.keys()])
    assert len(faults) == 2 and all("has seal, which the source has not" in fault for fault in faults)


def test_new_mapping_is_missed():
    keys = {**tables.keys(), "novel": ["a"]}
    assert added(documents.key_faults, keys, before=[tables.keys()]) == ["documents.PLACES lacks novel"]


def test_other_default_is_found():
    changed = {**source_defaults(), ("root", "seal"): "required"}
    faults = added(documents.default_faults, changed, before=[source_defaults()])
    assert faults == [f"{editor.MAIN}: the default of root.seal is required in the source"]


def test_new_default_is_missed():
    faults = documents.default_faults({**source_defaults(), ("root", "novel"): "a"})
    assert "the list of defaults in the source has root.novel, which the source has not" in faults


@pytest.mark.parametrize("letter, argument", [("n", "FILE"), ("", "FILE"), ("n", ""), ("", "")])
def test_new_option_is_missed_everywhere(program, letter, argument):
    option = tables.Option(letter, "novel", argument, "OPTION_NOVEL", "it is new")
    first, *others = tables.commands()
    commands = [first._replace(options=(*first.options, option)), *others]
    options = [*tables.options(), option]
    for faults in (
        documents.manual_faults(commands, options),
        documents.help_faults(program, commands, options),
    ):
        assert len(faults) == 2, faults


def test_new_command_is_missed_everywhere(program):
    command = tables.Command("novel", "", frozenset(), "be new", ())
    commands, options = [*tables.commands(), command], tables.options()
    assert documents.manual_faults(commands, options) == [f"{documents.MANUAL.name} lacks novel"]
    assert len(documents.help_faults(program, commands, options)) == 2
    assert documents.readme_faults(commands) == ["README.md has no row of novel"]


@pytest.mark.parametrize("change", ["operands", "options"])
def test_changed_command_is_found(program, change):
    first, *others = tables.commands()
    changed = first._replace(**{change: "FILE..." if change == "operands" else first.options[1:]})
    for faults in (
        documents.manual_faults([changed, *others], tables.options()),
        documents.help_faults(program, [changed, *others], tables.options()),
    ):
        assert faults != [] and all(first.name in fault for fault in faults), faults


def test_other_default_of_an_option_is_found():
    options = [
        option._replace(text=option.text.replace("default 10s", "default 20s")) for option in tables.options()
    ]
    assert documents.manual_faults(tables.commands(), options) == [
        f"{documents.MANUAL.name}: the default of --timeout is another one"
    ]


# What the options say and the source has in another place.


def test_help_has_the_defaults_of_the_source():
    texts = {option.name: option.text for option in tables.options()}
    path = only(r"DEFAULT_PATH\[\] = \"(.*?)\"", "command/command.c")
    assert f"(default {path})" in texts["config"]
    assert f"(default {tree.LIMITS['LIMIT_PROBE_TIMEOUT']}s)" in texts["timeout"]


# The rest of the manual.


def heads(section, macro):
    """The words behind the macro of all items of a section."""
    found = [item.head.split() for item in documents.items(documents.MANUAL) if item.section == section]
    return {word for words in found if words[0] == macro for word in words[1:] if word != ","}


def test_every_variable_of_the_environment_is_in_the_manual():
    read = set()
    for path in SERVER.rglob("*.c"):
        read |= set(re.findall(r"getenv\(\"(\w+)\"\)", path.read_text()))
    assert len(read) > 5 and heads("ENVIRONMENT", "Ev") == read


def test_every_signal_is_in_the_manual():
    caught = set(re.findall(r"sigaddset\(&set, (\w+)\)", (SERVER / "supervise/supervisor.c").read_text()))
    assert heads("Signals", "Dv") == caught - {"SIGCHLD"} != set()


def test_every_exit_status_is_in_the_manual():
    statuses = re.findall(r"STATUS_\w+ = (\d)", (SERVER / "command/command.h").read_text())
    found = [item.head for item in documents.items(documents.MANUAL) if item.section == "EXIT STATUS"]
    assert found == statuses != []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_limits_in_the_manual_are_those_of_the_source(page):
    text = page.read_text()
    for pattern, name, scale in (
        (r"ready for (\d+) seconds", "LIMIT_CRASHES_MS", 1000),
        (r"within (\d+) seconds", "LIMIT_DRAIN_MS", 1000),
        (r"At most (\d+)\.", "LIMIT_LISTENERS", 1),
        (r"processes, at most (\d+)\.", "LIMIT_WORKERS", 1),
        (r"RSA from (\d+)\s+bits", "LIMIT_RSA_BITS", 1),
        (r"more than (\d+)\s+bytes", "LIMIT_BODY", 1),
        (r"to (\d+) seconds, which is a year", "LIMIT_MAX_AGE_MOST", 1),
        (r"1 to (\d+) letters", "LIMIT_ID", 1),
    ):
        found = re.findall(pattern, text)
        assert found in ([], [str(tree.LIMITS[name] // scale)]), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_is_free_of_lint(page):
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "style", page], capture_output=True, text=True, timeout=60, check=False
    )
    # Whether the other pages are installed is a matter of this machine.
    said = [line for line in done.stdout.splitlines() if "referenced manual not found" not in line]
    assert said == []


@pytest.mark.parametrize("text", documents.examples(documents.MANUAL_OF_CONFIGURATION))
def test_example_of_the_configuration_is_valid(text):
    assert editor.complaints(text) == []


def test_page_names_only_pages_that_are_ours_or_known():
    for page in PAGES:
        for name, section in re.findall(r"^\.Xr (\S+) (\d)", page.read_text(), re.M):
            ours = (documents.CONFIG / f"{name}.{section}").exists()
            assert ours or name in ("nsupdate", "sd_listen_fds", "sd_notify", "systemd.socket"), name


def test_table_of_the_tests_names_every_folder():
    table = (tree.ROOT / "tests" / "README.md").read_text()
    rows = re.findall(r"^\| `(\w+)/` \|", table, re.M)
    folders = {path.name for path in (tree.ROOT / "tests").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert sorted(rows) == sorted(folders)
    goals = re.findall(r"^    (?:\w+=\w+ )?make (?:\w+=\w+ )?([a-z-]+)", table, re.M)
    makefiles = "".join(path.read_text() for path in [tree.ROOT / "Makefile", *tree.ROOT.glob("*/*.mk")])
    assert goals and not [goal for goal in goals if not re.search(rf"^{goal}:", makefiles, re.M)]


def unknown_files(text):
    """The files and folders that are named in the text by their whole path and are not there."""
    named = re.findall(r"(?<![\w./-])(?:server|tests|config)/[\w./-]*\w", text)
    return [name for name in named if not (tree.ROOT / name).exists() and not list(tree.ROOT.glob(name + ".*"))]


@pytest.mark.parametrize("page", ["README.md", "SECURITY.md", "CHANGELOG.md", "server/README.md", "tests/README.md"])
def test_page_names_only_files_that_are_there(page):
    assert unknown_files((tree.ROOT / page).read_text()) == []


def test_file_that_is_gone_is_found():
    text = "`server/sandbox/seal.c`, server/sandbox/gone.c (`tests/gone`), [a page](config/gone/README.md)"
    assert unknown_files(text) == ["server/sandbox/gone.c", "tests/gone", "config/gone/README.md"]
