"""The JSON Schema and the program agree: on every golden file, and on every value of every key.

An editor that follows the schema must not object to what the program takes, and must object to what
it refuses, but for the faults that no schema can express: each of those is listed with its reason.
"""
import json
import pathlib
import subprocess

import jsonschema
import pytest

from support import editor, tables, tree

HERE = pathlib.Path(__file__).parent
CONFIG = tree.ROOT / "config"

FOLDED = "names that differ in case only are the same"
ELSEWHERE = "it depends on another place of the file"
ONCE = "a JSON object has each key once; an editor's YAML reader tells of two"
INEXPRESSIBLE = {
    "refuse/body-large": "the size is that of the rendered policy",
    "refuse/domain-twice": FOLDED,
    "refuse/key-duplicate-domain": ONCE,
    "refuse/key-duplicate-policy": ONCE,
    "refuse/max-age-missing": ELSEWHERE,
    "refuse/mode-missing": ELSEWHERE,
    "refuse/mx-duplicate": FOLDED,
    "refuse/mx-missing": ELSEWHERE,
    "refuse/mx-missing-none": ELSEWHERE,
    "refuse/policy-default-undefined": ELSEWHERE,
    "refuse/policy-twice": ONCE,
    "refuse/policy-undefined": ELSEWHERE,
    "fatal/acme-twice": ELSEWHERE,
    "fatal/key-duplicate": ONCE,
    "fatal/listen-overlap": ELSEWHERE,
    "fatal/listen-overlap-default": ELSEWHERE,
    "fatal/metrics-twice": ELSEWHERE,
    "fatal/utf-16": "an editor decodes it",
}


def cases(*folders):
    return sorted(f"{folder}/{path.stem}" for folder in folders for path in (HERE / folder).glob("*.yaml"))


@pytest.mark.parametrize("name", [editor.MAIN, editor.DROPIN])
def test_schema_is_a_schema(name):
    jsonschema.Draft7Validator.check_schema(editor.schema(name))


@pytest.mark.parametrize("name", cases("accept"))
def test_accepted_file_is_valid(name):
    assert editor.complaints((HERE / f"{name}.yaml").read_bytes()) == []


@pytest.mark.parametrize("name", cases("refuse", "fatal"))
def test_refused_file_is_invalid(name):
    found = editor.complaints((HERE / f"{name}.yaml").read_bytes())
    if name in INEXPRESSIBLE:
        assert found == [], "a schema can express it after all: take it off the list"
    else:
        assert found != [], "let the schema refuse it, or say in the list why it cannot"


def test_list_names_files_that_are_there():
    assert set(INEXPRESSIBLE) <= set(cases("refuse", "fatal"))


@pytest.mark.parametrize("path", [CONFIG / "mta-sts.yaml", CONFIG / "debian" / "mta-sts.yaml"], ids=str)
def test_our_configurations_are_valid(path):
    assert editor.complaints(path.read_bytes()) == []


@pytest.mark.parametrize(
    "path",
    [*sorted((CONFIG / "domains.d").iterdir()), *sorted((HERE / "accept" / "include.d").iterdir())],
    ids=lambda path: path.name,
)
def test_drop_ins_are_valid(path):
    assert editor.complaints(path.read_bytes(), editor.DROPIN) == []


@pytest.mark.parametrize(
    "text",
    [
        "strict: true",
        "policies: {a: {mode: on}}",
        "domains: {example.com: {mods: a}}",
        "domains: {a_b.example: x}",
        "policies: []",
        "[]",
    ],
)
def test_wrong_drop_in_is_invalid(text):
    assert editor.complaints(text, editor.DROPIN) != []


@pytest.mark.parametrize(
    "path, schema",
    [
        (CONFIG / "mta-sts.yaml", CONFIG / editor.MAIN),
        (CONFIG / "domains.d" / "customer.yaml.example", CONFIG / editor.DROPIN),
    ],
    ids=["main", "drop-in"],
)
def test_first_line_leads_an_editor_to_the_schema(path, schema):
    words = path.read_text().splitlines()[0].split("$schema=")
    assert words[0] == "# yaml-language-server: "
    assert (path.parent / words[1]).resolve() == schema


# What may stand behind a key, and what may not, as YAML. The values of "listen" are read only.
NAMES = ["mail.example.com", "a.b", "xn--bcher-kva.example", "1.2.example", f"{'a' * 63}.example"]
NO_NAMES = ["localhost", "a_b.example", "-a.example", "a-.example", "a..example", "192.0.2.1", "bücher.example"]
NO_NAMES += [f"{'a' * 64}.example", ".".join(["a" * 49] * 6), '""', "[[]]", "{}", "a.b:25", "5"]
IPS = ["192.0.2.1", "255.255.255.255", '"2001:db8::1"', '"::"', '"::ffff:192.0.2.1"']
NO_IPS = ["example.com", "192.0.2", "192.0.2.256", '"2001:db8::g"', "5", '""', '"1:2"']
DURATIONS = ["0", "1", "4294967295", "0s", "5m", "12h", "30d", "52w", '"86400"', "007d"]
NO_DURATIONS = ["-1", "4294967296", "1y", "1.5d", "d", "1d12h", '""', "1D", "[1d]", '"+1"', "1 d"]
ADDRESSES = ['"[::]:443"', '"*:443"', '":443"', '"127.0.0.1:8443"', '"[2001:db8::1]:0"', "systemd"]
ADDRESSES += ['"systemd:https"', '"unix:/run/a b.sock"', '"127.0.0.1:65535"', '"[::ffff:192.0.2.1]:443"']
NO_ADDRESSES = ["443", '"localhost:443"', '"127.0.0.1"', '"[::]"', '"127.0.0.1:65536"', '"::1:443"']
NO_ADDRESSES += ['"systemd:"', '"systemdx"', '"unix:a.sock"', '"unix:/"', '"256.0.0.1:1"', '"[127.0.0.1]:1"', '""']
BOOLEANS, NO_BOOLEANS = ["true", "false"], ["yes", "1", "on", "~", "[true]", '""']
URIS = ['"mailto:a@example.com"', "https://example.com/", '"MAILTO:a@b"', '["mailto:a@b", "https://c"]', '"mailto:a@b@c"']
NO_URIS = ["a@example.com", "http://example.com", '"mailto:"', '"mailto:@b"', '"mailto:a@"', "https://", "[]", '"mailto:a b@c"']
# One day and one year in each unit, and what is next to them.
AGES = ["86400", "31557600", "86400s", "31557600s", "1440m", "525960m", "24h", "8766h", "1d", "365d", "1w", "52w", "002w"]
AGES += ['"99999"', "999999s", "9999999s", "29999999s", "31556999s", "524999m", "519999m", "499999m", "525899m", "8699h"]
NO_AGES = ["86399", "31557601", "86399s", "31557601s", "1439m", "525961m", "23h", "8767h", "0d", "366d", "0w", "53w"]
NO_AGES += ["100000000s", "600000m", "9000h", "400d", "60w", "-86400", "two weeks", "1.5w", "[1w]"]

VALUES = {
    "listen: %s": (
        ADDRESSES + ['["127.0.0.1:1", "127.0.0.1:2"]', '{address: "127.0.0.1:1"}', '[{address: "127.0.0.1:1"}, systemd]'],
        NO_ADDRESSES + ["[]", "~", "{}", '["127.0.0.1:1", "127.0.0.1:1"]', "[~]", "{freebind: true}"],
    ),
    "listen: {address: %s}": (ADDRESSES, NO_ADDRESSES),
    'listen: {address: "127.0.0.1:1", freebind: %s}': (BOOLEANS, NO_BOOLEANS),
    'listen: {address: "127.0.0.1:1", tls: %s}': (BOOLEANS, NO_BOOLEANS),
    'listen: {address: "127.0.0.1:1", proxy_protocol: %s}': (
        ["{from: 192.0.2.1}", "{from: [192.0.2.0/24]}"],
        ["{}", "{from: []}", "true", "{form: 192.0.2.1}", "[192.0.2.1]"],
    ),
    'listen: {address: "127.0.0.1:1", proxy_protocol: {from: %s}}': (
        IPS + ["192.0.2.0/24", "0.0.0.0/0", "192.0.2.1/32", '"2001:db8::/64"', '"::/0"', '"::1/128"'],
        NO_IPS + ["192.0.2.0/33", '"::/129"', "192.0.2.0/", "192.0.2.0/24/1"],
    ),
    'listen: "127.0.0.1:1"\nmetrics: %s': (ADDRESSES, NO_ADDRESSES + ['{address: "127.0.0.1:9810"}', "[]", "~"]),
    "log: %s": (["{}", "{format: json, access: errors, anonymize: true}"], ["json", "~", "[]", "{level: info}"]),
    "log: {format: %s}": (["text", "json"], ["xml", "JSON", "~", "[json]"]),
    "log: {access: %s}": (["on", "off", "errors"], ["all", "true", "~", "[on]"]),
    "log: {anonymize: %s}": (BOOLEANS, NO_BOOLEANS),
    "user: %s": (["mta-sts", "65534"], ["[a]", "{}", "~", "''"]),
    "workers: %s": (["auto", "1", "256"], ["0", "257", "-1", "Auto", "1.5", "[1]", "~"]),
    "certificates: %s": ([".", "[., .]"], ["{}", "~", "[[.]]", "''", "[., '']"]),
    "certificate_warning: %s": (DURATIONS + ["auto"], NO_DURATIONS + ["~"]),
    "include: %s": (["'none-*.yaml'", "[none-a*.yaml, none-b*.yaml]"], ["{}", "~", "[{}]", "''", "[none-a*.yaml, '']"]),
    "state: %s": (["none.d"], ["[none.d]", "{}", "~", "''"]),
    "strict: %s": (BOOLEANS, NO_BOOLEANS),
    "seal: %s": (["best", "required"], ["Best", "true", "[best]", "~"]),
    "acme: %s": (
        ["{alpn: a}", '{http: "127.0.0.1:1", webroot: a}', '{alpn: a, http: "127.0.0.1:1", webroot: a, redirect: true}'],
        ["{}", "~", "a", "[a]", "{webroot: a}", '{http: "127.0.0.1:1"}', "{alpn: a, redirect: true}", "{alpn: a, folder: a}"],
    ),
    "acme: {alpn: %s}": (["a", "/var/lib/dehydrated/alpn-certs"], ["[a]", "{}", "~", "''"]),
    'listen: "127.0.0.1:1"\nacme: {webroot: a, http: %s}': (ADDRESSES, NO_ADDRESSES),
    'acme: {http: "127.0.0.1:1", webroot: %s}': (["a", "/var/www"], ["[a]", "{}", "~", "''"]),
    'acme: {http: "127.0.0.1:1", webroot: a, redirect: %s}': (BOOLEANS, NO_BOOLEANS),
    "dns: %s": (["{}", "{target: a.example}", "{addresses: 192.0.2.1, ttl: 1h}"], ["a.example", "[]", "~", "{cname: a.example}"]),
    "dns: {target: %s}": (NAMES + ["a.example."], NO_NAMES + ['"*.example.com"']),
    "dns: {addresses: %s}": (IPS + ['[192.0.2.1, "2001:db8::1"]'], NO_IPS),
    "dns: {delegate: %s}": (NAMES + ["a.example."], NO_NAMES + ['"*.example.com"', f"{'a' * 55}.{'b' * 55}"]),
    "dns: {ttl: %s}": (["1", "2147483647", "1s", "1h", "01d"], ["0", "0h", "2147483648", "-1", "h", "1y"]),
    "tls_rpt: %s": (URIS, NO_URIS),
    "watch: %s": (BOOLEANS, NO_BOOLEANS),
    "policies: %s": (["~", "{}", "{a: {mode: none, max_age: 1d, mx: a.b}}"], ["[]", "a", "{a: b}", "{a: ~}", "{a: []}"]),
    "policies: {a: {mode: %s, max_age: 1w, mx: a.b}}": (["enforce", "testing", "none"], ["Enforce", "off", "true", "~", "[none]"]),
    "policies: {a: {mode: none, max_age: %s, mx: a.b}}": (AGES, NO_AGES),
    "policies: {a: {mode: none, max_age: 1w, mx: %s}}": (
        NAMES + ['"*.example.com"', "[a.b, c.d]"],
        NO_NAMES + ['"*"', '"*.com"', '"a.*.b"', "[]", "[a.b, a.b]", "a.example.", "[~]"],
    ),
    "policies: {a: {mode: none, max_age: 1w, mx: a.b, id: %s}}": (
        ["20260101", "abcABC123", '"1"', "1" * 32, "0"],
        ["2026-01-01", '""', "1" * 33, "a b", "-1", "[a]", "~"],
    ),
    "domains: %s": (["~", "{}", "{a.example: ~}"], ["[a.example]", "a.example"]),
    "domains: {%s: ~}": (NAMES + [".".join(["a" * 48] * 5)], NO_NAMES[:10] + ['"*.example"', "a.example."]),
    "domains: {a.example: %s}": (
        ["~", "default", "{}", "{policy: default}", "{policy: default, mode: none}", "{tls_rpt: https://b}"],
        ["[default]", "{mode: none}", "{id: a}", "{max_age: 1w}", "{mx: a.b}", "{mode: none, max_age: 1w}", "{policy: ~}"],
    ),
    "domains: {a.example: {policy: %s}}": (["default", '"default"'], ["[default]", "{}", "~"]),
    "domains: {a.example: {policy: default, mode: %s}}": (["none"], ["off", "[none]"]),
    "domains: {a.example: {policy: default, max_age: %s}}": (["1w", "86400"], ["1h", "0"]),
    "domains: {a.example: {policy: default, mx: %s}}": (["a.b", '["*.a.b"]'], ["[]", "a", "{}"]),
    "domains: {a.example: {policy: default, id: %s}}": (["a1"], ["a-1"]),
    "domains: {a.example: {tls_rpt: %s}}": (URIS, NO_URIS),
    "listen: {address: '127.0.0.1:1', tls: false}\ndomains: {a.example: {certificate: %s}}": (["own", "proxy"], ["none", "true", "[proxy]", "~"]),
}
COMMON = "policies: {default: {mode: none, max_age: 1w, mx: a.b}}\n"


def judge(program, folder, text):
    """Whether the program takes it: warnings do not count."""
    path = folder / "mta-sts.yaml"
    path.write_text(text)
    done = subprocess.run([program, "check", "--json", "-c", path], capture_output=True, timeout=60, check=False)
    return json.loads(done.stdout)["errors"] == 0


@pytest.mark.parametrize("key", VALUES, ids=str)
def test_program_and_schema_agree_on_values(key, program, tmp_path):
    common = "" if key.startswith("policies:") else COMMON
    for is_good, values in zip((True, False), VALUES[key]):
        for value in values:
            text = common + key % value + "\n"
            found = editor.complaints(text)
            assert (found == []) is is_good, f"the schema errs about {text}: {found}"
            assert judge(program, tmp_path, text) is is_good, f"the program errs about {text}"


@pytest.mark.parametrize("name", ["root", "listener", "proxy", "log", "acme", "dns", "policy", "domain"])
def test_every_key_has_values(name):
    for key in tables.keys()[name]:
        assert any(f"{key}: %s" in template for template in VALUES), key
