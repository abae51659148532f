"""Where things are in the source tree, and the limits that the program declares there."""

import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def program():
    """The program under test."""
    return Path(os.environ.get("MTA_STS_HTTPD", ROOT / "build" / "mta-sts-httpd")).absolute()


def instrumented():
    """True when the program was built with the address sanitizer, which keeps freed memory."""
    return b"__asan_init" in program().read_bytes()


def is_long():
    """True when also those tests are to run that take a minute or more: SCAN=all make test."""
    return os.environ.get("SCAN") == "all"


LONG = "it takes a minute or more: SCAN=all make test"


def uses_system_library():
    """True when make was told to use the system's mbedTLS; it passes its variables on."""
    return os.environ.get("MBEDTLS") == "system"


def _limits():
    text = (ROOT / "server" / "base" / "limits.h").read_text()
    values = {}
    for name, product in re.findall(r"^\s*(LIMIT_\w+) = ([0-9 *]+),", text, re.M):
        value = 1
        for factor in product.split("*"):
            value *= int(factor)
        values[name] = value
    return values


LIMITS = _limits()
