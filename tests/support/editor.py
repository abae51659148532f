"""What an editor makes of a configuration: it reads the YAML, and judges it by the JSON Schema."""

import json
import re

import jsonschema
import yaml

from . import tree

MAIN = "mta-sts.schema.json"
DROPIN = "mta-sts-include.schema.json"


class Reader(yaml.SafeLoader):
    """Reads by the core schema of YAML 1.2, as editors do, and not by that of 1.1."""


Reader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    Reader.add_implicit_resolver(
        "tag:yaml.org,2002:" + _tag, re.compile(f"^(?:{_pattern})$"), list(_first)
    )
# The reader would take a leading zero for an octal number.
Reader.add_constructor("tag:yaml.org,2002:int", lambda reader, node: int(node.value, _base(node.value)))


def _base(text):
    return {"0o": 8, "0x": 16}.get(text[:2], 10)


def schema(name=MAIN):
    return json.loads((tree.ROOT / "config" / name).read_text())


def _validator(name):
    store = {(tree.ROOT / "config" / each).as_uri(): schema(each) for each in (MAIN, DROPIN)}
    address = (tree.ROOT / "config" / name).as_uri()
    resolver = jsonschema.RefResolver(address, store[address], store=store)
    return jsonschema.Draft7Validator(store[address], resolver=resolver)


VALIDATORS = {name: _validator(name) for name in (MAIN, DROPIN)}


def read(data):
    """The document, or the complaint of the YAML reader, which an editor shows as well."""
    try:
        return yaml.load(data, Reader), None
    except yaml.YAMLError as error:
        return None, str(error)


def complaints(data, name=MAIN):
    """What an editor would underline in these bytes."""
    document, complaint = read(data)
    if complaint is not None:
        return [complaint]
    try:
        return [error.message for error in VALIDATORS[name].iter_errors(document)]
    except RecursionError:
        return ["an alias in a circle"]
