"""What is written about the configuration and the command line, and where it lags behind the source.

Each function takes what the source has and returns a list of sentences, each about one place that
does not know it, or knows what is no longer there.
"""

import re
import subprocess
from typing import NamedTuple

import yaml

from . import editor
from .tree import ROOT

CONFIG = ROOT / "config"
MANUAL = CONFIG / "mta-sts-httpd.8"
MANUAL_OF_CONFIGURATION = CONFIG / "mta-sts.yaml.5"
README_LINES = 160
README_COLUMNS = 100
SAMPLE = CONFIG / "mta-sts.yaml"

# Where each table of keys is described: in the schema, and in the manual as section and depth.
PLACES = {
    "root": ("", "Top level", 1),
    "dropin": ("definitions/dropin", None, 0),
    "listener": ("definitions/listener/anyOf/1", "Listeners", 1),
    "proxy": ("definitions/listener/anyOf/1/properties/proxy_protocol", "Listeners", 2),
    "log": ("properties/log", "The log", 1),
    "acme": ("properties/acme", "Challenges", 1),
    "dns": ("properties/dns", "DNS records", 1),
    "policy": ("definitions/policy", "Policies", 1),
    "domain": ("definitions/domain/anyOf/1", "Domains", 1),
}


class Item(NamedTuple):
    section: str
    depth: int  # 1 in a list, 2 in a list in it
    head: str
    text: str  # without macros, on one line


def _words(line):
    """A line of a manual as a reader sees it, nearly."""
    if line.startswith("."):
        line = re.sub(r"^\.\w+ ?|\b(?:Cm|Ar|Ic|Fl|Ql|Pa|Bq|Pq|Ev|Dv) ", "", line)
    return line.replace("\\&", "").replace('"', "")


def items(page):
    """The items of all lists of a page."""
    section, depth, heads, found = "", 0, [], []
    for line in page.read_text().splitlines():
        if heading := re.match(r"\.S[hs] (.*)", line):
            section = heading[1]
        elif line.startswith(".Bl "):
            depth += 1
        elif line.startswith(".El"):
            depth -= 1
        elif line.startswith(".It"):
            found.append([section, depth, line[4:], []])
            heads = heads[: depth - 1] + [found[-1]]
        elif depth:
            heads[depth - 1][3].append(_words(line))
    # An item without a text shares that of the next one.
    for one, next_one in reversed(list(zip(found, found[1:]))):
        if not one[3] and one[:2] == next_one[:2]:
            one[3] = next_one[3]
    return [Item(section, depth, head, " ".join(text)) for section, depth, head, text in found]


def _differ(where, wanted, found):
    wanted, found = set(wanted), set(found)
    return [f"{where} lacks {name}" for name in sorted(wanted - found)] + [
        f"{where} has {name}, which the source has not" for name in sorted(found - wanted)
    ]


def _in_schema(path):
    schema = editor.schema()
    for step in path.split("/") if path else ():
        schema = schema[int(step)] if step.isdigit() else schema[step]
    return schema["properties"]


def _properties(path):
    """The keys with what is said of each there, or where a reference leads."""
    definitions = editor.schema()["definitions"]
    for name, value in _in_schema(path).items():
        if "$ref" in value:
            value = {**definitions[value["$ref"].rpartition("/")[2]], **value}
        yield name, value


def examples(page):
    text = page.read_text()
    return re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", text[text.index(".Sh EXAMPLES") :], re.M | re.S)


def _keys_of(node):
    """Every key anywhere in a document."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield key
            yield from _keys_of(value)
    elif isinstance(node, list):
        for value in node:
            yield from _keys_of(value)


def _manual_items(section, depth):
    for item in items(MANUAL_OF_CONFIGURATION):
        if (item.section, item.depth) == (section, depth):
            yield re.match(r"Ic (\w+) : .", item.head)[1], item


def key_faults(tables):
    """tables is what support.tables.keys() returns."""
    faults = _differ("documents.PLACES", tables, PLACES)
    exemplary = set()
    for example in examples(MANUAL_OF_CONFIGURATION):
        exemplary |= set(_keys_of(yaml.load(example, editor.Reader)))
    sample = SAMPLE.read_text()
    for table, (path, section, depth) in PLACES.items():
        keys, properties = tables.get(table, []), dict(_properties(path))
        faults += _differ(f"{editor.MAIN}, {table}", keys, properties)
        for name, value in properties.items():
            if not value.get("description", "").endswith("."):
                faults.append(f"{editor.MAIN}, {table}: {name} has no description")
            is_mapping = "properties" in value or "additionalProperties" in value
            if table in ("root", "listener", "log", "dns") and name != "address" and not is_mapping:
                if _default_in_schema(value) is None:
                    faults.append(f"{editor.MAIN}, {table}: {name} has no default")
        if section is None:
            continue
        described = dict(_manual_items(section, depth))
        faults += _differ(f"{MANUAL_OF_CONFIGURATION.name}, {section}", keys, described)
        for name, item in described.items():
            if name not in ("log", "policies", "domains") and not re.search(
                r"The default is|There is no default|It must be there", item.text
            ):
                faults.append(f"{MANUAL_OF_CONFIGURATION.name}, {section}: {name} has no default")
        for name in keys:
            if name not in exemplary:
                faults.append(f"{MANUAL_OF_CONFIGURATION.name} has no example of {name}")
            if not re.search(rf"(^|[# {{\"]){name}: ?", sample, re.M):
                faults.append(f"{SAMPLE.name} does not mention {name}")
    return faults


def _default_in_schema(value):
    if "default" in value:
        default = value["default"]
        return str(default).lower() if isinstance(default, bool) else str(default)
    stated = re.search(r"Default: (.*?)(?:, what .*)?\.$", value["description"])
    return stated[1] if stated else None


def _sample_block(name):
    """The paragraph of the sample in which the key is set at the top, or would be."""
    for block in SAMPLE.read_text().split("\n\n"):
        if re.search(rf"^(# )?{name}:", block, re.M):
            return re.sub(r"[#\s]+", " ", block)
    return ""


def defaults():
    """The default of each key that has one, by schema."""
    found = {}
    for table, (path, section, _) in PLACES.items():
        if section is not None:
            for name, value in _properties(path):
                if (default := _default_in_schema(value)) is not None:
                    found[table, name] = default
    return found


def default_faults(in_source):
    """in_source has the defaults that are values, by table and key, as the source has them."""
    faults, found = [], defaults()
    for (table, name), default in found.items():
        _, section, depth = PLACES[table]
        item = dict(_manual_items(section, depth)).get(name)
        stated = item and re.search(r"The default is (?:the )?(.*)", item.text)
        if not stated or not re.match(re.escape(default) + r"(?![\w-])", stated[1]):
            faults.append(f"{MANUAL_OF_CONFIGURATION.name}: the default of {name} is not {default}")
        if table == "root" and not re.search(rf"default {re.escape(_in_sample(default))}", _sample_block(name)):
            faults.append(f"{SAMPLE.name}: the default of {name} is not {default}")
    values = {place for place in found if "default" in dict(_properties(PLACES[place[0]][0]))[place[1]]}
    faults += _differ("the list of defaults in the source", map(".".join, values), map(".".join, in_source))
    for place, default in in_source.items():
        if found.get(place) != default:
            faults.append(f"{editor.MAIN}: the default of {'.'.join(place)} is {default} in the source")
    return faults


def _in_sample(default):
    return f'"{default}"' if default.startswith("[") else default


def _option_head(option):
    argument = f" Ar {option.argument.lower()}" if option.argument else ""
    short = f"Fl {option.letter}{argument} , " if option.letter else ""
    return f"{short}Fl -{option.name}{argument}"


def _operand_words(operands):
    return re.findall(r"[a-z]+", operands.lower())


def manual_faults(commands, options):
    faults, name = [], MANUAL.name
    listed = [item for item in items(MANUAL) if item.section == "DESCRIPTION"]
    described = {words[1]: item for item in listed if (words := item.head.split())[0] == "Ic"}
    faults += _differ(name, [command.name for command in commands] + ["help"], described)
    for command in commands:
        if command.name not in described:
            continue
        head = described[command.name].head
        wanted = [option.letter or "-" + option.name for option in command.options]
        faults += _differ(f"{name}, {command.name}", wanted, re.findall(r"(?:Fl|\|) ([-\w]+)", head))
        for option in command.options:
            found = re.search(rf"(?:Fl|\|) {option.letter or '-' + option.name}(?: Ar (\w+))?(?= )", head)
            if found and (found[1] or "") != option.argument.lower():
                faults.append(f"{name}, {command.name}: wrong argument of {option.name}")
        operands = re.sub(r"O[oc]|Op|\.\.\.|.*O[oc] (?!.*Oc)", " ", head).split("Ar")[-1]
        if _operand_words(command.operands) != (_operand_words(operands) if command.operands else []):
            faults.append(f"{name}, {command.name}: its operands are {command.operands}")
    explained = {item.head: item.text for item in listed if item.head.startswith("Fl")}
    faults += _differ(name, [_option_head(option) for option in options], explained)
    for option in options:
        text = explained.get(_option_head(option), "")
        default = re.search(r"\(default (\S+)\)|(\S+) \(default\)", option.text)
        if default and not re.search(
            rf"default is {re.escape(default[1] or '')}|{default[2]}.*? the default", text
        ):
            faults.append(f"{name}: the default of --{option.name} is another one")
    return faults


def help_of(program, *words):
    done = subprocess.run([program, *words], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    return done.stdout


def _help_line(option):
    short = f"-{option.letter}, " if option.letter else "    "
    long = f"--{option.name} {option.argument}"
    return f"  {short}{long:19} {option.text}"


def _option_lines(text):
    return {line for line in text.splitlines() if line.startswith(("  -", "      --"))}


def help_faults(program, commands, options):
    faults, general = [], help_of(program, "--help")
    for wanted in [f"  {one.name:8} {one.operands:15} {one.summary}" for one in commands]:
        if wanted not in general.splitlines():
            faults.append(f"--help lacks {wanted}")
    faults += _differ("--help", map(_help_line, options), _option_lines(general))
    for command in commands:
        try:
            text = help_of(program, command.name, "--help")
        except subprocess.CalledProcessError:
            faults.append(f"there is no help of {command.name}")
            continue
        assert text == help_of(program, "help", command.name)
        wanted = {_help_line(option) for option in command.options}
        found = _option_lines(text)
        found.discard(f"  -h, {'--help':19} print this help")
        faults += _differ(f"{command.name} --help", wanted, found)
        usage = f"Usage: mta-sts-httpd {command.name} [OPTION...] {command.operands}".rstrip()
        if text.splitlines()[0] != usage:
            faults.append(f"{command.name} --help has no usage {usage}")
    return faults


def readme_faults(commands):
    """A row for each command; the options are in the manual. Ten minutes are enough to read it."""
    text, faults = (ROOT / "README.md").read_text(), []
    for command in commands:
        if f"| `mta-sts-httpd {command.name}` |" not in text:
            faults.append(f"README.md has no row of {command.name}")
    lines = text.splitlines()
    if len(lines) > README_LINES:
        faults.append(f"README.md has {len(lines)} lines, above {README_LINES}")
    faults += [f"README.md:{number}: longer than {README_COLUMNS} columns"
               for number, line in enumerate(lines, 1) if len(line) > README_COLUMNS]
    return faults
