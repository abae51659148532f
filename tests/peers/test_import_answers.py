"""`import DOMAIN` and `--keep-id`: what is served and published today, by a server and a name server
of other make, in a namespace of its own where ports and names are the real ones.

Run as a program it is that server: it says "ready" and ends with its standard input.
"""

import contextlib
import json
import os
import re
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from support import faulty, nameserver, tree
from support.namespace import Namespace, NotPossible

LF_BODY = b"version: STSv1\nmode: testing\nmx: mail.lf.example\nmax_age: 604800\n\n"
SHORT_BODY = faulty.GOOD_BODY.replace(b"1209600", b"3600")
MOVED = faulty.response(b"", status="301 Moved", headers=["Location: https://www.moved.example/p"])
# Where it leads to is shown, but neither at full length nor with what a terminal would obey.
FAR = faulty.response(
    b"", status="302 Found", headers=["Location: https://\xe2\x80\xae\xc2\x9b.example/" + 500 * "x"]
)
# Half of the policy, with the whole length; chunks that end too early, and that are none.
WHOLE = faulty.response()
CUT = WHOLE[: WHOLE.index(b"max_age")]
CHUNKED = faulty.chunked(faulty.GOOD_BODY[:40], faulty.GOOD_BODY[40:])
HALF = CHUNKED[: CHUNKED.rindex(b"mail.")]
BROKEN = faulty.chunked(faulty.GOOD_BODY).replace(b"0\r\n\r\n", b"zz\r\n\r\n")
PACKED = faulty.response(headers=["Content-Encoding: gzip"])
ONE_LINE = b"version: STSv1 mode: enforce mx: mail.example.com max_age: 1209600"

# What each host answers, and the TXT records of the domain.
DOMAINS = {
    "good.example": (faulty.response(), ['"v=STSv1; id=20190312010001;"']),
    "same.example": (faulty.response(), ['"v=STSv1; id=20230117071500Z"', '"other"']),
    "lf.example": (faulty.response(LF_BODY), []),
    "short.example": (faulty.response(SHORT_BODY), ['"v=STSv1; id=3;"']),
    "several.example": (faulty.response(), ['"v=STSv1; id=4;"', '"v=STSv1; id=5;"']),
    "stranger.example": (faulty.response(), ['"v=STSv1; id=6;"']),
    "moved.example": (MOVED, []),
    "far.example": (FAR, []),
    "cut.example": (CUT, []),
    "half.example": (HALF, []),
    "broken.example": (BROKEN, []),
    "packed.example": (PACKED, []),
    "page.example": (faulty.response(b"<html></html>", content_type="text/html"), []),
    "line.example": (faulty.response(ONE_LINE), []),
    "missing.example": (faulty.response(b"Not Found", status="404 Not Found"), []),
}


def serve(folder):
    """Answers each host from a file. The stranger's certificate is its own, the others share one."""
    contexts = {}
    for name in ("shared", "stranger"):
        contexts[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        contexts[name].load_cert_chain(
            folder / name / "fullchain.pem", folder / name / "privkey.pem"
        )

    def choose(stream, host, _):
        stream.asked = host
        if "stranger" in host:
            stream.context = contexts["stranger"]

    def handle(client):
        with contexts["shared"].wrap_socket(client, server_side=True) as stream:
            faulty.read_head(stream)
            stream.sendall((folder / stream.asked).read_bytes())

    contexts["shared"].sni_callback = choose

    def handle_elsewhere(client):
        with contexts["shared"].wrap_socket(client, server_side=True) as stream:
            faulty.read_head(stream)
            stream.sendall(faulty.response())

    with faulty.Listener(handle, port=443), faulty.Listener(handle_elsewhere, "127.0.0.2", 443):
        print("ready", flush=True)
        sys.stdin.read()


@contextlib.contextmanager
def server_inside(namespace, folder):
    """This file as a program in the namespace."""
    environment = {**os.environ, "PYTHONPATH": str(tree.ROOT / "tests")}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    process = subprocess.Popen(
        [*namespace.prefix, sys.executable, __file__, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )
    try:
        assert process.stdout.readline() == b"ready\n"
        yield
    finally:
        process.communicate(timeout=20)


@pytest.fixture(scope="module")
def importing(program, authority, tmp_path_factory):
    """A function that runs import in the namespace with these arguments."""
    folder = tmp_path_factory.mktemp("url")
    namespace = Namespace(folder)
    try:
        namespace.open()
    except (NotPossible, FileNotFoundError) as reason:
        pytest.skip(f"no namespace to be had here: {reason}")
    hosts = [f"mta-sts.{domain}" for domain in [*DOMAINS, "elsewhere.example"]]
    authority.issue(*hosts).write(folder / "shared")
    authority.issue("mta-sts.other.example").write(folder / "stranger")
    zone = ""
    for domain, (answer, records) in DOMAINS.items():
        (folder / f"mta-sts.{domain}").write_bytes(answer)
        zone += f"mta-sts.{domain}. IN A 127.0.0.1\n"
        zone += "".join(f"_mta-sts.{domain}. IN TXT {record}\n" for record in records)
    zone += "mta-sts.elsewhere.example. IN A 127.0.0.2\n"
    zone += "mta-sts.closed.example. IN A 127.0.0.3\n"
    (folder / "zone").write_text(zone)

    def run(*arguments):
        return subprocess.run(
            [*namespace.prefix, str(program), "import", *arguments],
            env={"PATH": os.environ["PATH"], "SSL_CERT_FILE": str(authority.root_file)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    with contextlib.closing(namespace):
        with nameserver.running(namespace, folder / "zone"), server_inside(namespace, folder):
            yield run


def policies_of(text, tmp_path):
    """What the program would serve of the configuration."""
    config = tmp_path / "mta-sts.yaml"
    config.write_text(text)
    command = [str(tree.program()), "list", "--json", "-c", str(config)]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return {entry["domain"]: entry for entry in json.loads(done.stdout)}


def test_what_is_served_today(importing, tmp_path):
    done = importing("good.example", "mta-sts.same.example", "lf.example", "elsewhere.example")
    assert done.returncode == 0, done.stderr
    found = policies_of(done.stdout, tmp_path)
    assert found["good.example"]["mx"] == ["mail.example.com"]
    assert found["good.example"]["max_age"] == 1209600
    assert (found["lf.example"]["mode"], found["lf.example"]["max_age"]) == ("testing", 604800)
    # Equal policies are one.
    assert done.stdout.count("mail.example.com") == 1
    url = "https://mta-sts.lf.example/.well-known/mta-sts.txt"
    assert f"{url}:1:15: warning: the lines end with LF" in done.stderr
    assert f"{url}:5:1: warning: there is a blank line" in done.stderr


def test_who_has_answered(importing):
    """This machine is asked first, and then where the DNS says."""
    done = importing("--json", "good.example", "elsewhere.example")
    rows = {row["domain"]: row["address"] for row in json.loads(done.stdout)["domains"]}
    assert rows == {"good.example": "127.0.0.1:443", "elsewhere.example": "127.0.0.2:443"}
    done = importing("--connect", "127.0.0.2", "good.example")
    assert done.returncode == 0 and "\n  good.example:\n" in done.stdout


@pytest.mark.parametrize(
    "domain, words",
    [
        ("moved.example", 'a redirect (status 301) to "https://www.moved.example/p"'),
        ("far.example", 'to "https://\\xe2\\x80\\xae\\xc2\\x9b.example/xxx'),
        ("missing.example", "the status is 404 instead of 200"),
        ("cut.example", "the response"),
        ("half.example", "the response"),
        ("broken.example", "the response"),
        ("packed.example", "Content-Encoding: gzip"),
        ("page.example", "this is a web page, not a policy"),
        ("line.example", "line"),
        ("closed.example", "the response is empty"),
        ("nowhere.example", "the response is empty"),
    ],
)
def test_what_no_sender_takes(importing, domain, words):
    """The domain is left out, and a comment says why; the others are written."""
    done = importing(domain, "good.example")
    assert done.returncode == 1
    assert words in done.stderr, done.stderr
    assert re.search(rf"^  # {domain}:\n  #   left out: .", done.stdout, re.M), done.stdout
    assert "\n  good.example:\n" in done.stdout
    assert not re.search(r"x{100}|\x9b|\u202e", done.stdout + done.stderr)


def test_certificate_of_a_stranger(importing):
    """It is imported, for it may be the very reason to move, but nobody may overlook it."""
    done = importing("stranger.example")
    assert done.returncode == 0
    assert "warning: mta-sts.stranger.example: the certificate" in done.stderr
    assert "mta-sts.other.example" in done.stderr
    assert "\n  stranger.example:\n" in done.stdout


def test_ids_are_kept(importing, tmp_path):
    domains = ["good.example", "same.example", "short.example", "several.example", "lf.example"]
    done = importing("--keep-id", *domains)
    assert done.returncode == 0, done.stderr
    found = policies_of(done.stdout, tmp_path)
    assert found["good.example"]["id"] == "20190312010001"
    assert found["same.example"]["id"] == "20230117071500Z"
    for domain, words in (
        ("short.example", "the corrections change what the policy means"),
        ("several.example", "there are several"),
        ("lf.example", "none was found"),
    ):
        assert re.fullmatch(r"[1-9]\d{17}", found[domain]["id"])
        assert f"{domain}: its id is not kept: {words}" in done.stderr


def test_dns_that_does_not_answer(program, tmp_path):
    """Where nobody listens, an id is not said to be missing."""
    old = tmp_path / "old.txt"
    old.write_bytes(faulty.GOOD_BODY)
    namespace = Namespace(tmp_path)
    try:
        namespace.open()
    except (NotPossible, FileNotFoundError) as reason:
        pytest.skip(f"no namespace to be had here: {reason}")
    with contextlib.closing(namespace):
        command = [*namespace.prefix, str(program), "import", "--keep-id", f"good.example={old}"]
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert b"good.example: its id is not kept: the DNS does not answer" in done.stderr
    assert done.returncode == 0


def test_ids_for_files(importing, tmp_path):
    """The DNS is asked for policies from files too."""
    old = tmp_path / "old.txt"
    old.write_bytes(faulty.GOOD_BODY)
    done = importing("--keep-id", f"good.example={old}")
    assert done.returncode == 0, done.stderr
    assert policies_of(done.stdout, tmp_path)["good.example"]["id"] == "20190312010001"


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
