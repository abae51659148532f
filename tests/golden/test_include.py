"""What included files may say about each other: nothing. Exact diagnostics of "check"."""

import json

from support.server import run

POLICY = "{{mode: {mode}, max_age: 2w, mx: mail.{owner}.example}}"


def policy(owner, mode="enforce"):
    return POLICY.format(owner=owner, mode=mode)


def lay(folder, main, **files):
    """A main file and its drop-ins; returns its path."""
    (folder / "d").mkdir(exist_ok=True)
    (folder / "mta-sts.yaml").write_text(f"include: d/*.yaml\n{main}")
    for name, text in files.items():
        (folder / "d" / f"{name}.yaml").write_text(text)
    return folder / "mta-sts.yaml"


def all_said(config):
    """The lines without the folder."""
    return run("check", "-c", config).stderr.decode().replace(f"{config.parent}/", "").splitlines()


def said(config):
    """From the first error on."""
    lines = all_said(config)
    first = next((i for i, line in enumerate(lines) if ": error: " in line), len(lines))
    return lines[first:]


def modes(config):
    """Of each domain; None when it is refused."""
    return {row["domain"]: row["mode"] for row in json.loads(run("list", "--json", "-c", config).stdout)}


def body(config, domain):
    return run("policy", "-c", config, domain).stdout.decode()


def test_each_file_has_its_own_default(tmp_path):
    config = lay(
        tmp_path,
        "",
        a=f"policies: {{default: {policy('attacker')}}}\ndomains: {{attacker.example: }}\n",
        b=f"policies: {{default: {policy('victim', 'testing')}}}\ndomains: {{victim.example: }}\n",
    )
    assert modes(config) == {
        "attacker.example": "enforce",
        "victim.example": "testing",
    }
    assert "mx: mail.victim.example\r\n" in body(config, "victim.example")
    assert said(config) == []


def test_policy_of_another_file_is_not_visible(tmp_path):
    config = lay(
        tmp_path,
        "domains: {main.example: shared}\n",
        a=f"policies: {{shared: {policy('attacker')}}}\ndomains: {{attacker.example: shared}}\n",
        b="domains:\n  one.example: shared\n  two.example: {policy: shared, mode: testing}\n  three.example:\n",
    )
    assert modes(config) == {
        "attacker.example": "enforce",
        **{f"{name}.example": None for name in ("main", "one", "two", "three")},
    }
    note = "d/a.yaml:1:12: note: this one is visible in its own file alone"
    fix = "    fix: define it in this file or in the main file"
    assert said(config) == [
        'mta-sts.yaml:2:25: error: domain "main.example" uses the policy "shared", which is not defined',
        fix,
        note,
        'd/b.yaml:2:16: error: domain "one.example" uses the policy "shared", which is not defined',
        fix,
        note,
        'd/b.yaml:3:25: error: domain "two.example" uses the policy "shared", which is not defined',
        'd/b.yaml:4:3: error: domain "three.example" uses the policy "default", which is not defined',
        '    fix: define it under "policies:", or name another policy for the domain',
    ]


def test_name_of_the_main_file_is_taken(tmp_path):
    """Nobody can tell which is meant, so the domains that mean it have none; the others do."""
    config = lay(
        tmp_path,
        f"policies: {{default: {policy('main')}}}\ndomains: {{main.example: }}\n",
        a=f"policies:\n  default: {policy('own')}\n  mine: {policy('own')}\n"
        "domains:\n  one.example:\n  two.example: mine\n  three.example: {policy: default, mode: none}\n",
        b="domains:\n  other.example:\n",
    )
    assert modes(config) == {
        "main.example": "enforce",
        "one.example": None,
        "two.example": "enforce",
        "three.example": None,
        "other.example": "enforce",
    }
    assert "mail.main.example" in body(config, "other.example")
    assert said(config) == [
        'd/a.yaml:2:3: error: the main file has a policy "default", too',
        "    why: it is not known which of them a domain of this file means",
        "    fix: give this one another name, or delete it",
        "mta-sts.yaml:2:12: note: it is here",
    ]


def test_suggestions_are_of_this_file_and_the_main_one(tmp_path):
    config = lay(
        tmp_path,
        f"policies: {{normal: {policy('main')}}}\n",
        a=f"policies: {{strict: {policy('a')}}}\ndomains:\n  a.example: stict\n  b.example: norml\n  c.example: stict\n",
        b="domains:\n  d.example: stict\n",
    )
    assert [line for line in said(config) if "fix: " in line] == [
        '    fix: did you mean "strict"?',
        '    fix: did you mean "normal"?',
        '    fix: define it under "policies:"',
    ]



def test_folder_is_no_file(tmp_path):
    config = lay(tmp_path, "")
    (tmp_path / "d" / "x.yaml").mkdir()
    for name in ("d", "d/"):
        config.write_text(f"include: {name}\n")
        assert said(config) == [
            f'mta-sts.yaml:1:10: error: include "{name}" is a folder',
            '    fix: write "d/*.yaml"',
        ]
    config.write_text("include: d/*\n")
    assert "d/x.yaml: note: is a folder, which is not read" in all_said(config)


def test_pattern_without_a_file(tmp_path):
    """Nothing is there yet, or it has another name."""
    config = lay(tmp_path, "")
    note = 'mta-sts.yaml:1:10: {}: include "d/*.yaml" matches no file'
    assert note.format("note") in all_said(config)
    (tmp_path / "d" / "customer.yml").write_text("")
    lines = all_said(config)
    where = lines.index(note.format("warning"))
    assert lines[where + 1] == "    fix: correct the pattern, or the name of customer.yml there"


def test_missing_files_are_explained(tmp_path):
    config = lay(tmp_path, "")
    config.write_text("include: [d/*.yaml, missing.yaml]\n")
    (tmp_path / "d" / "link.yaml").symlink_to("/nowhere/there.yaml")
    none = ": error: cannot be read: No such file or directory"
    assert said(config)[:5] == [
        "d/link.yaml" + none,
        "    why: it is a link to /nowhere/there.yaml, which is not there",
        "    fix: make the link again, or remove it",
        "missing.yaml" + none,
        '    fix: write it, or correct what "include:" says',
    ]
    config.unlink()
    assert said(config) == ["mta-sts.yaml" + none, '    fix: write it, or name another with "-c FILE"']


def test_served_policy_as_a_drop_in(tmp_path):
    config = lay(tmp_path, "", a="version: STSv1\r\nmode: enforce\r\nmx: a.example\r\nmax_age: 86400\r\n")
    assert said(config) == [
        "d/a.yaml:1:1: error: this is a policy as it is served (mta-sts.txt), not a configuration",
        '    fix: "mta-sts-httpd import example.com=FILE" makes a configuration of it',
    ]


def test_byte_order_mark(tmp_path):
    """Of the main file and of an included one; columns do not count it."""
    config = lay(tmp_path, "", a=f"\ufeffpolicies: {{default: {policy('a')}}}\ndomains: {{a.example: }}\n")
    config.write_text("\ufeff" + config.read_text() + "domains:\n  b.example: none\n")
    assert modes(config) == {"a.example": "enforce", "b.example": None}
    assert said(config)[0].startswith('mta-sts.yaml:3:14: error: domain "b.example" uses')


def test_foreign_lines_are_not_shown(tmp_path):
    """Of a file that is none of ours, whose lines are keys, only the first words are shown."""
    secret = "root:$6$saltsaltsalt$hashhashhashhashhashhash:19000:0:99999:7:::"
    config = lay(tmp_path, "", a=f"{secret}\ndaemon:*:19000:0:99999:7:::\n")
    lines = said(config)
    assert lines[0] == 'd/a.yaml:1:1: error: unknown key "root..." in an included file'
    for words in (lines, run("check", "--json", "-c", config).stdout.decode().splitlines()):
        assert not any("salt" in line or "19000" in line for line in words)
