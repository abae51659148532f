"""Challenges of ACME clients on the running server: what an authority sees, and who else sees what."""

import os
import shutil
import socket
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from support import client
from support.setup import body_of, DEFAULT_POLICY
from support.wait import until

IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
HOST = "mta-sts.example.com"
TOKEN = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"
ANSWER = f"{TOKEN}.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI".encode()
FOLDER = "/.well-known/acme-challenge"


def challenge_for(authority, host, digest=bytes(range(32)), critical=True):
    value = x509.UnrecognizedExtension(IDENTIFIER, b"\x04\x20" + digest)
    return authority.issue(host, kind="P-256", extensions=[(value, critical)])


def put(folder, host, leaf):
    """As dehydrated does: the key first."""
    (folder / f"{host}.key.pem").write_bytes(leaf.key_pem())
    (folder / f"{host}.crt.pem").write_bytes(leaf.leaf_pem())


def ask(port, host, alpn=("acme-tls/1",), version=None):
    """The certificate that is shown, as DER, and the protocol; the connection must end with it. An
    SSLError when it is refused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(list(alpn))
    if version is not None:
        context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", port), 10) as stream:
        with context.wrap_socket(stream, server_hostname=host) as secure:
            if secure.selected_alpn_protocol() == "acme-tls/1":
                assert secure.recv(1) == b""
            return secure.getpeercert(binary_form=True), secure.selected_alpn_protocol()


def refusal(port, host):
    with pytest.raises(ssl.SSLError) as refused:
        ask(port, host)
    return client.alert_of(refused.value)


def is_shown(port, host, leaf):
    try:
        return ask(port, host) == (leaf.der, "acme-tls/1")
    except ssl.SSLError:
        return False


@pytest.fixture(name="alpn")
def fixture_alpn(setup, start):
    """A server with one domain that has a certificate."""
    (setup.root / "alpn").mkdir()
    setup.certify("example.com")
    setup.write(["example.com"], acme={"alpn": "alpn"})
    return start(setup.config)


def test_challenge_is_shown_while_it_is_there(setup, alpn, authority, trusted):
    port, folder, before = alpn.port, setup.root / "alpn", alpn.workers()
    assert refusal(port, HOST) == "no application protocol"  # nobody would see an offer
    for host in (HOST, "elsewhere.example"):
        leaf = challenge_for(authority, host)
        put(folder, host, leaf)
        until(lambda leaf=leaf, host=host: is_shown(port, host, leaf), "the challenge")
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        assert ask(port, "Elsewhere.Example", version=version) == (leaf.der, "acme-tls/1")
    assert refusal(port, "mta-sts.example.net") == "unrecognized name"
    # Who speaks HTTP sees nothing of it.
    assert ask(port, HOST, ("acme-tls/1", "http/1.1"))[1] == "http/1.1"
    response = client.fetch(port, HOST, trusted)
    assert (response.status, response.body) == (200, body_of(DEFAULT_POLICY))
    # Another one for the same name, and then none.
    leaf = challenge_for(authority, HOST, bytes(32))
    put(folder, HOST, leaf)
    until(lambda: is_shown(port, HOST, leaf), "the next challenge")
    shutil.rmtree(folder)
    until(lambda: not is_shown(port, HOST, leaf), "the end of the challenge")
    # The files go one by one, so that the other one may be there still.
    until(lambda: refusal(port, HOST) == "no application protocol", "the end of all challenges")
    # The folder is another one now.
    folder.mkdir()
    put(folder, HOST, leaf)
    until(lambda: is_shown(port, HOST, leaf), "the challenge in the new folder")
    assert alpn.workers() == before


def test_what_is_no_challenge_is_not_shown(setup, alpn, authority):
    alpn.expect(r"warning: challenges: \S+ (is not one for tls-alpn-01|does not name exactly one host|"
                r"is a link)")
    folder, good = setup.root / "alpn", challenge_for(authority, "good.example")
    put(folder, "plain.example", authority.issue("plain.example"))
    put(folder, "uncritical.example", challenge_for(authority, "uncritical.example", critical=False))
    put(folder, "short.example", challenge_for(authority, "short.example", bytes(31)))
    elsewhere = setup.root / "elsewhere"
    elsewhere.mkdir()
    put(elsewhere, "linked.example", challenge_for(authority, "linked.example"))
    for path in elsewhere.iterdir():
        (folder / path.name).symlink_to(path)
    # A certificate without its key, and the key of another one.
    alone = challenge_for(authority, "alone.example")
    (folder / "alone.example.crt.pem").write_bytes(alone.leaf_pem())
    put(folder, "good.example", good)
    until(lambda: is_shown(alpn.port, "good.example", good), "the good one")
    for name in ("plain", "uncritical", "short", "linked", "alone"):
        assert refusal(alpn.port, f"{name}.example") == "unrecognized name", name
    alpn.wait_line(r"warning: challenges: ")


@pytest.fixture(name="http")
def fixture_http(setup, start):
    """The port for http-01 and the folder for its files, which is not there yet."""
    setup.certify("example.com")
    setup.write(
        ["example.com"], acme={"http": "127.0.0.2:0", "webroot": "www", "redirect": True}
    )
    server = start(setup.config)
    return server, setup.root / "www" / FOLDER[1:]


def get(port, path, host=HOST, method="GET"):
    with client.Connection(port, None, None, address="127.0.0.2") as connection:
        return connection.exchange(client.request(host, target=path, method=method), method)


def test_authorization_is_shown_while_it_is_there(http):
    server, folder = http
    port = server.challenges
    assert get(port, f"{FOLDER}/{TOKEN}").status == 404
    folder.mkdir(parents=True)
    (folder / TOKEN).write_bytes(ANSWER + b"\n")
    until(lambda: get(port, f"{FOLDER}/{TOKEN}").status == 200, "the authorization")
    for host in (HOST, "elsewhere.example", "192.0.2.1"):
        response = get(port, f"{FOLDER}/{TOKEN}", host)
        assert (response.status, response.body) == (200, ANSWER)
        assert response.header("Content-Type") == "application/octet-stream"
    head = get(port, f"{FOLDER}/{TOKEN}", method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.header("Content-Length") == str(len(ANSWER))
    (folder / TOKEN).unlink()
    until(lambda: get(port, f"{FOLDER}/{TOKEN}").status == 404, "the end of it")


def test_files_that_are_no_authorization_are_not_shown(http):
    server, folder = http
    port = server.challenges
    server.expect(r"warning: challenges: \S+ (does not hold|is a link|has a name|is not a file)")
    folder.mkdir(parents=True)
    (folder / "secret").write_text("a file that lies here by mistake\n")
    (folder / "linked").symlink_to("/etc/passwd")
    (folder / "odd.name").write_text("odd.name.x")
    (folder / "folder").mkdir()
    (folder / TOKEN).write_bytes(ANSWER)
    until(lambda: get(port, f"{FOLDER}/{TOKEN}").status == 200, "the authorization")
    for name in ("secret", "linked", "odd.name", "folder", "", ".", "..", f"../acme-challenge/{TOKEN}",
                 f"{TOKEN}?a", f"{TOKEN}/", TOKEN.lower()):
        assert get(port, f"{FOLDER}/{name}").status == 404, name
    server.wait_line(r"warning: challenges: ")


def test_nothing_else_is_there(http):
    port = http[0].challenges
    for path in (client.PATH, client.PATH + "?a"):
        assert get(port, path).status == 404
    redirected = get(port, "/a?b=c", "MTA-STS.example.com.")
    assert (redirected.status, redirected.header("Location")) == (308, f"https://{HOST}/a?b=c")
    assert b":" not in redirected.body
    assert get(port, "/a", "elsewhere.example").status == 404
    assert get(port, "/" + "a" * 300).status == 404
    assert get(port, "/a", method="POST").status == 404
    assert get(port, FOLDER + "/" + TOKEN, method="POST").status == 404


def test_without_redirect(setup, start):
    setup.certify("example.com")
    setup.write(["example.com"], acme={"http": "127.0.0.2:0", "webroot": "www"})
    server = start(setup.config)
    assert [get(server.challenges, path).status for path in ("/", client.PATH)] == [404, 404]
    # A reload with another folder leads there, and one without takes back what was shown.
    folder = setup.root / "other" / FOLDER[1:]
    folder.mkdir(parents=True)
    (folder / TOKEN).write_bytes(ANSWER)
    setup.write(["example.com"], acme={"http": "127.0.0.2:0", "webroot": "other"})
    assert server.reload()
    until(lambda: get(server.challenges, f"{FOLDER}/{TOKEN}").status == 200, "the authorization")
    os.unlink(folder / TOKEN)
    until(lambda: get(server.challenges, f"{FOLDER}/{TOKEN}").status == 404, "the end of it")
