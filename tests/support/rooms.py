"""The rules of the source tree, as a function from a tree to what is wrong with it.

An include points downwards only. What each outside library is for is known in one place.
"""

import re

# A room may include from itself and from these.
BELOW = {
    "base": (),
    "policy": ("base",),
    "site": ("base", "policy"),
    "shared": ("base",),
    "http": ("base",),
    "crypto": ("base",),
    "files": ("base",),
    "sandbox": ("base", "files"),
    "certificates": ("base", "policy", "site", "files"),
    "configuration": ("base", "policy", "site", "files"),
    "load": ("base", "policy", "site", "shared", "files", "certificates", "configuration"),
    "serve": ("base", "policy", "site", "shared", "http", "crypto", "sandbox"),
    "supervise": ("base", "policy", "site", "shared", "files", "sandbox", "configuration", "load", "serve"),
    # The tools; nothing above includes them.
    "inspect": ("base", "policy"),
    "probe": ("base", "policy", "site", "certificates", "inspect", "load"),
    "command": ("base", "policy", "site", "crypto", "files", "sandbox", "certificates", "configuration", "load",
                "serve", "supervise", "inspect", "probe"),
    "import": ("base", "policy", "site", "files", "certificates", "inspect", "probe", "command"),
    "": ("base", "command"),
}

# Outside headers, and the files that may include them; everywhere else they are wrong.
OUTSIDE = (
    (
        re.compile(r"mbedtls/|psa/"),
        re.compile(
            r"(serve/tls|serve/tls_context|crypto/accelerate|probe/fetch|policy/record)\.c"
            r"|serve/tls_session\.h|base/tls_offer\.h|certificates/\w+\.[ch]"
        ),
        "mbedTLS",
    ),
    (re.compile(r"yaml\.h"), re.compile(r"configuration/document\.c"), "libyaml"),
    (re.compile(r"openssl/"), re.compile(r"crypto/(curve|needs|rsa|sha)\.c"), "AWS-LC"),
)

# A room that is pure has no file, no socket, no process and no clock.
PURE = ("policy",)
IMPURE_HEADERS = re.compile(
    r"(fcntl|unistd|time|signal|poll|dirent|glob|netdb|spawn|pthread|stdio_ext)\.h"
    r"|sys/(?!types\.h).*|netinet/.*|linux/.*"
)
IMPURE_CALLS = ("fopen", "open", "read", "write", "socket", "time", "clock_gettime")
IMPURE_CALLS += ("getenv", "printf")

POISON = ("strcpy", "strcat", "sprintf", "vsprintf", "gets", "atoi", "strtok")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)
# Comments, strings and character constants; what is left is code.
NOT_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
PRAGMA = re.compile(r"^[ \t]*#[ \t]*pragma\b.*$", re.M)
LEAD = re.compile(r"/\*(.*?)\*/", re.S)


def _room(name):
    return name.partition("/")[0] if "/" in name else ""


def _include_faults(name, text):
    room = _room(name)
    if room not in BELOW:
        yield f"{name}: {room} is no room"
        return
    for bracket, target in INCLUDE.findall(text):
        outside = next((rule for rule in OUTSIDE if rule[0].match(target)), None)
        if outside and not outside[1].fullmatch(name):
            yield f"{name}: {outside[2]} does not belong here"
        if outside or bracket == "<":
            continue
        if "/" not in target:
            yield f'{name}: "{target}" names no room'
        elif _room(target) != room and _room(target) not in BELOW[room]:
            yield f"{name}: {target} is not below {room or 'main'}"


def _word_faults(name, text):
    code = PRAGMA.sub("", NOT_CODE.sub(" ", text))
    for word in POISON:
        if re.search(rf"\b{word}\b", code):
            yield f"{name}: {word} is poisoned"
    if _room(name) in PURE:
        for _, target in INCLUDE.findall(text):
            if IMPURE_HEADERS.fullmatch(target):
                yield f"{name}: {target} is not pure"
        for word in IMPURE_CALLS:
            if re.search(rf"\b{word}\s*\(", code):
                yield f"{name}: {word}() is not pure"


def _lead_faults(name, text):
    """A header opens with a paragraph: at least one whole sentence of a few words."""
    match = LEAD.match(text)
    words = re.sub(r"^[ \t]*\*", "", match[1], flags=re.M).split() if match else []
    if len(words) < 8 or not words[-1].endswith("."):
        yield f"{name}: no leading paragraph"


def _shares_header(name, texts):
    """True when the file includes a header of its room whose leading paragraph names the file. The
    commands share one that calls them all NAME."""
    stem = name.rpartition("/")[2][:-2]
    for _, target in INCLUDE.findall(texts[name]):
        lead = LEAD.match(texts.get(target, ""))
        if lead and _room(target) == _room(name):
            if re.search(rf"\b{stem}\b", lead[1]) or target == "command/command.h":
                return True
    return False


def _pair_faults(name, texts):
    """Every module has its header; main has none."""
    if not name.endswith(".c") or _room(name) not in BELOW or _room(name) == "":
        return
    if name[:-2] + ".h" not in texts and not _shares_header(name, texts):
        yield f"{name}: no header"


def faults(server):
    """Everything that is wrong with the tree below the folder, sorted. An empty tree is wrong."""
    paths = [path for path in server.rglob("*") if path.suffix in (".c", ".h")]
    texts = {str(path.relative_to(server)): path.read_text(encoding="utf-8") for path in paths}
    found = [] if texts else ["no source at all"]
    for name, text in texts.items():
        found += _include_faults(name, text)
        found += _word_faults(name, text)
        found += _pair_faults(name, texts)
        if name.endswith(".h"):
            found += _lead_faults(name, text)
    return sorted(found)
