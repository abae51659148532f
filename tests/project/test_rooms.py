"""The rooms of server/ and their walls. Each rule is shown to fail on a wrong tree."""

import pytest

from support import rooms
from support.tree import ROOT

LEAD = """/*
 * What the module owns, what it never does, and which process runs it: all of
 * that in a paragraph.
 */
#ifndef GUARD_H
#define GUARD_H
#endif
"""


def include(header):
    return f'#include "{header}"\n'


def good_tree(root):
    """The smallest tree that has every room and breaks no rule."""
    files = {
        "main.c": '#include <stdint.h>\n#include "command/command.h"\n',
        "base/text.h": LEAD,
        "base/text.c": '#include "base/text.h"\n#pragma GCC poison strcpy strcat sprintf\n',
        "policy/policy.h": LEAD + '#include "base/text.h"\n',
        "policy/policy.c": '#include "policy/policy.h"\n#include <string.h>\n',
        "site/site.h": LEAD + '#include "policy/policy.h"\n',
        "configuration/document.h": LEAD,
        "configuration/document.c": '#include <yaml.h>\n#include "site/site.h"\n',
        "certificates/store.h": LEAD,
        "certificates/store.c": "#include <mbedtls/x509_crt.h>\n#include <psa/crypto.h>\n",
        "serve/tls.h": LEAD,
        "serve/tls.c": '#include <mbedtls/ssl.h>\n#include "site/site.h"\n',
        "serve/worker.h": LEAD,
        "serve/worker.c": '#include "crypto/accelerate.h"\n',
        "crypto/accelerate.h": LEAD,
        "crypto/accelerate.c": "#include <mbedtls/pk.h>\n",
        "crypto/rsa.h": LEAD,
        "crypto/rsa.c": '#include <openssl/rsa.h>\n#include "base/text.h"\n',
        "supervise/supervisor.h": LEAD,
        "supervise/supervisor.c": '#include "configuration/document.h"\n#include "serve/tls.h"\n',
        "probe/fetch.h": LEAD + '#include "certificates/store.h"\n',
        "probe/fetch.c": "#include <mbedtls/ssl.h>\n",
        "command/command.h": LEAD,
        "command/check.c": include("command/command.h")
        + '#include "supervise/supervisor.h"\n#include "probe/fetch.h"\n/* strcpy */ "gets" \'"\' // atoi\n',
        "load/store.h": LEAD.replace("What", "For store_read and store_find. What"),
        "load/store_read.c": '#include "load/store.h"\n',
        "load/store_find.c": '#include "load/store.h"\n',
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
    return root


def test_source_tree_keeps_the_rules():
    assert rooms.faults(ROOT / "server") == []


def test_source_tree_was_looked_at():
    """A check that looks at the wrong place finds nothing wrong."""
    names = {path.name for path in (ROOT / "server").rglob("*.c")}
    assert {"main.c", "policy.c", "site.c", "tls.c", "supervisor.c"} <= names


def test_good_tree_is_good(tmp_path):
    assert rooms.faults(good_tree(tmp_path)) == []


def test_empty_tree_is_wrong(tmp_path):
    assert rooms.faults(tmp_path) == ["no source at all"]


UPWARDS = [
    ("base/text.c", "policy/policy.h"),
    ("base/text.h", "command/command.h"),
    ("policy/policy.c", "site/site.h"),
    ("policy/policy.h", "configuration/document.h"),
    ("site/site.h", "configuration/document.h"),
    ("site/site.h", "serve/tls.h"),
    ("crypto/rsa.c", "site/site.h"),
    ("crypto/accelerate.h", "serve/tls.h"),
    ("configuration/document.c", "crypto/rsa.h"),
    ("probe/fetch.c", "crypto/accelerate.h"),
    ("configuration/document.c", "serve/tls.h"),
    ("configuration/document.h", "supervise/supervisor.h"),
    ("serve/tls.c", "certificates/store.h"),
    ("serve/tls.h", "supervise/supervisor.h"),
    ("supervise/supervisor.c", "command/command.h"),
    ("serve/tls.c", "probe/fetch.h"),
    ("configuration/document.c", "probe/fetch.h"),
    ("supervise/supervisor.c", "probe/fetch.h"),
    ("probe/fetch.c", "serve/tls.h"),
    ("probe/fetch.h", "command/command.h"),
    ("main.c", "serve/tls.h"),
    ("main.c", "supervise/supervisor.h"),
]

WRONG = [(name, include(header), "is not below") for name, header in UPWARDS]
WRONG += [
    ("command/check.c", include("main.h"), "names no room"),
    ("serve/tls.c", include("tls.h"), "names no room"),
    ("serve/tls.c", include("../certificates/store.h"), "is not below"),
    ("serve/tls.c", '  #  include  "certificates/store.h"\n', "is not below"),
    ("serve/tls.c", include("cellar/x.h"), "is not below"),
    ("cellar/x.c", "", "is no room"),
    ("base/text.c", "#include <mbedtls/pk.h>\n", "mbedTLS"),
    ("http/http.c", "#include <mbedtls/ssl.h>\n", "mbedTLS"),
    ("serve/tls.h", "#include <mbedtls/ssl.h>\n", "mbedTLS"),
    ("supervise/supervisor.c", "#include <psa/crypto.h>\n", "mbedTLS"),
    ("configuration/document.c", include("mbedtls/pk.h"), "mbedTLS"),
    ("probe/chain.c", "#include <mbedtls/x509_crt.h>\n", "mbedTLS"),
    ("policy/policy.c", "#include <yaml.h>\n", "libyaml"),
    ("command/check.c", "#include <yaml.h>\n", "libyaml"),
    ("crypto/curve.c", "#include <mbedtls/ecdsa.h>\n", "mbedTLS"),
    ("serve/tls.c", "#include <openssl/ec.h>\n", "AWS-LC"),
    ("crypto/accelerate.c", "#include <openssl/rsa.h>\n", "AWS-LC"),
    ("crypto/rsa.h", "#include <openssl/rsa.h>\n", "AWS-LC"),
    ("certificates/key.c", "#include <openssl/bn.h>\n", "AWS-LC"),
    ("serve/tls.c", "strcpy(a, b);\n", "strcpy is poisoned"),
    ("base/text.c", "x = strcat (a, b);\n", "strcat is poisoned"),
    ("command/check.c", "sprintf(a, b);\n", "sprintf is poisoned"),
    ("configuration/document.c", "gets(a);\n", "gets is poisoned"),
    ("policy/policy.c", 'atoi("1");\n', "atoi is poisoned"),
    ("site/site.h", "char *(*f)(char *, const char *) = strtok;\n", "strtok is poisoned"),
    ("policy/policy.c", "#include <sys/socket.h>\n", "is not pure"),
    ("policy/policy.c", "#include <time.h>\n", "is not pure"),
    ("policy/policy.c", 'f = fopen("x", "r");\n', "is not pure"),
    ("policy/policy.c", "now = time(NULL);\n", "is not pure"),
]


@pytest.mark.parametrize("name, text, words", WRONG, ids=lambda value: value.strip()[:50])
def test_wrong_line_is_found(tmp_path, name, text, words):
    root = good_tree(tmp_path)
    path = root / name
    path.parent.mkdir(exist_ok=True)
    if not path.exists() and "cellar" not in name:
        path.with_suffix(".h").write_text(LEAD)
    path.write_text((path.read_text() if path.exists() else "") + text)
    found = rooms.faults(root)
    assert len(found) == 1, found
    assert found[0].startswith(name + ": ") and words in found[0]


@pytest.mark.parametrize(
    "name, text",
    [
        ("base/new.c", ""),
        ("serve/new.c", include("serve/tls.h")),
        ("command/new.c", include("supervise/supervisor.h")),
        ("load/store_lose.c", include("load/store.h")),
        ("supervise/store_read.c", include("load/store.h")),
    ],
)
def test_module_without_a_header_is_found(tmp_path, name, text):
    root = good_tree(tmp_path)
    (root / name).write_text(text)
    assert rooms.faults(root) == [f"{name}: no header"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#ifndef GUARD_H\n#endif\n",
        "/* Short. */\n#ifndef GUARD_H\n#endif\n",
        "/* Copyright of somebody who wrote very many words here */\n#ifndef GUARD_H\n#endif\n",
        '#include "base/text.h"\n' + LEAD,
    ],
    ids=["empty", "none", "short", "no sentence", "not first"],
)
def test_header_without_a_leading_paragraph_is_found(tmp_path, text):
    root = good_tree(tmp_path)
    (root / "serve/tls.h").write_text(text)
    assert rooms.faults(root) == ["serve/tls.h: no leading paragraph"]
