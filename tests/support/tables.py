"""The tables of the source, read as text: what keys, commands and options there are.

Each reader fails when the source no longer looks as it expects, so that nothing is overlooked.
"""

import re
from typing import NamedTuple

from .tree import ROOT

SERVER = ROOT / "server"
STRING = r'"((?:[^"\\]|\\.)*)"'


class Option(NamedTuple):
    letter: str  # or ""
    name: str
    argument: str  # or ""
    bit: str
    text: str


class Command(NamedTuple):
    name: str
    operands: str
    bits: frozenset
    summary: str
    options: tuple


def _source(name):
    """The text with neighbouring strings joined, as the compiler does."""
    return re.sub(r'"\s*\n\s*"', "", (SERVER / name).read_text())


def _body(text, begin):
    """What stands between the brace behind the beginning and its end on a line of its own."""
    (found,) = re.findall(re.escape(begin) + r" = \{\n(.*?)\n\};", text, re.S)
    return found


def _rows(body):
    """How many rows the initializer has, to know that none was overlooked."""
    return len(re.findall(r"^    \{", body, re.M))


def keys():
    """The keys of each mapping of the configuration, by the name of its table: root, dropin ..."""
    text = _source("configuration/schema.c")
    names = re.findall(r"static const struct schema_key (\w+)_keys\[\]", text)
    assert names and len(names) == len(re.findall(r"^const struct schema schema_", text, re.M))
    found = {}
    for name in names:
        body = _body(text, f"static const struct schema_key {name}_keys[]")
        found[name] = re.findall(r'^    \{"(\w+)",', body, re.M)
        assert len(found[name]) == _rows(body) > 0
    return found


def first_words():
    """The first word of each key that is one of a few words, by table and key; None where it is no word."""
    text = _source("configuration/schema.c")
    found = {}
    for name in keys():
        body = _body(text, f"static const struct schema_key {name}_keys[]")
        for row in re.split(r"^    (?=\{)", body, flags=re.M):
            key, choice = re.search(r'\{"(\w+)"', row), re.search(r'WORDS\(\w+, \w+, (?:"(\w+)"|NULL)', row)
            if "SWITCH(" in row or choice:
                found[name, key[1]] = "false" if "SWITCH(" in row else choice[1]
    assert len(found) == len(re.findall(r"[ ,](?:SWITCH|WORDS)\(\w+_nodes", text)) > 0
    return found


def options():
    """Every option of every command, but for help and version."""
    body = _body(_source("command/command.c"), "} options[]")
    rows = re.findall(
        r"^    \{(?:'(.)'|0), \w+, \"([-\w]+)\", (?:\"([^\"]*)\"|NULL), (OPTION_\w+),\s*(?:VALUE\(\w+\)|0),\s*"
        + STRING,
        body,
        re.M,
    )
    assert len(rows) == _rows(body) > 0
    return [Option(letter, name, argument, bit, text) for letter, name, argument, bit, text in rows]


def commands():
    body = _body(_source("main.c"), "static const struct command commands[]")
    rows = re.findall(
        rf"^    \{{{STRING}, {STRING}, [01], \w+,\s*([\w |\n]+?),\s*{STRING},\s*command_(\w+)\}},", body, re.M
    )
    assert len(rows) == _rows(body) - 1 > 0  # the last row ends the table
    found = []
    for name, operands, bits, summary, function in rows:
        assert name == function
        bits = frozenset(re.split(r"\s*\|\s*", bits))
        taken = tuple(option for option in options() if option.bit in bits)
        assert {option.bit for option in taken} == bits, name
        found.append(Command(name, operands, bits, summary, taken))
    return found
