"""TLS: names, alerts, versions, suites, and the right certificate."""

import re
import ssl
import struct

import pytest

from support import client, hello, tools
from support.server import Server
from support.setup import Setup

HOST = "mta-sts.example.com"
RSA_HOST = "mta-sts.example.net"
pytestmark = pytest.mark.usefixtures("unharmed")

HELLOS = {
    "TLS 1.2": {"versions": None},
    "TLS 1.2 by extension": {"versions": (hello.TLS12,)},
    "TLS 1.3": {},
}


def say_hello(three, *arguments, to_the_end=False, **options):
    """Sends a ClientHello by hand and tells what came back."""
    message = hello.client_hello(*arguments, **options)
    return hello.answer_to(three.port, hello.record(message), to_the_end=to_the_end)


def refused(three, context, server_name):
    """The words of the alert that ends the handshake."""
    with pytest.raises(ssl.SSLError) as caught:
        three_connection = client.Connection(three.port, server_name, context)
        with three_connection:
            # In TLS 1.3 the client is done first and hears of it when it reads.
            three_connection.exchange(client.request(server_name))
    return client.alert_of(caught.value)


# Names.


@pytest.mark.parametrize("name", HELLOS)
def test_hello_made_by_hand_is_good(three, name):
    """The control: without it the refusals below would prove nothing."""
    answer = say_hello(three, HOST, **HELLOS[name])
    assert answer.hello, answer
    assert answer.version == (hello.TLS13 if name == "TLS 1.3" else hello.TLS12)


@pytest.mark.parametrize("version", client.VERSIONS)
@pytest.mark.parametrize(
    "name", ["mta-sts.example.edu", "example.com", "www.mta-sts.example.com", "localhost"]
)
def test_unknown_name_gets_unrecognized_name(three, authority, name, version):
    context = client.trusting(authority.root_file, client.VERSIONS[version], check=False)
    assert refused(three, context, name) == "unrecognized name"


@pytest.mark.parametrize("name", HELLOS)
def test_unknown_name_is_alert_112(three, name):
    assert say_hello(three, "mta-sts.example.edu", **HELLOS[name]).alert == 112


@pytest.mark.parametrize("name", HELLOS)
def test_no_name_gets_an_alert(three, name):
    """There is no default host. Any alert that says so will do."""
    answer = say_hello(three, **HELLOS[name])
    assert answer.alert_name in ("unrecognized_name", "missing_extension", "handshake_failure")


@pytest.mark.parametrize("option", ["-tls1_2", "-tls1_3"])
def test_openssl_shows_the_alerts(three, authority, option):
    done = tools.s_client(three.port, "mta-sts.example.edu", authority.root_file, option)
    assert tools.alert_number(done) == 112
    done = tools.s_client(three.port, None, authority.root_file, option)
    assert tools.alert_number(done) in (40, 109, 112)


@pytest.mark.parametrize("version", client.VERSIONS)
def test_case_of_the_name_is_ignored(three, authority, version):
    context = client.trusting(authority.root_file, client.VERSIONS[version])
    with client.Connection(three.port, HOST.upper(), context) as connection:
        response = connection.exchange(client.request("MTA-sts.EXAMPLE.com"))
        assert (response.status, response.body) == (200, three.body())


@pytest.mark.parametrize("name", HELLOS)
def test_one_trailing_dot_of_the_name_is_ignored(three, name):
    assert say_hello(three, HOST + ".", **HELLOS[name]).hello


ODD_NAMES = {
    "two trailing dots": hello.server_names(HOST.encode() + b".."),
    "only a dot": hello.server_names(b"."),
    "empty name": hello.server_names(b""),
    "empty list": hello.server_names(),
    "empty extension": b"",
    "NUL after the name": hello.server_names(HOST.encode() + b"\0"),
    "NUL and more": hello.server_names(HOST.encode() + b"\0.example.edu"),
    "leading dot": hello.server_names(b"." + HOST.encode()),
    "prefix of ours": hello.server_names(HOST.encode()[:-1]),
    "space": hello.server_names(b" " + HOST.encode()),
    "bytes above 127": hello.server_names(b"mta-sts.ex\xe4mple.com"),
    "control characters": hello.server_names(b"\x1b[2J\r\nmta-sts-httpd: error: forged"),
    "too long": hello.server_names(b"a." * 126 + b"example.com"),
    "very long": hello.server_names(b"a" * 5000),
    "another kind": hello.server_names(HOST.encode(), kind=1),
    "list longer than the extension": struct.pack("!H", 400) + hello.server_names(b"x")[2:],
    "name longer than the list": b"\x00\x05\x00\x01\x00ab",
}


@pytest.mark.parametrize("versions", [None, (hello.TLS13, hello.TLS12)], ids=["1.2", "1.3"])
@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_reach_no_host(three, name, versions):
    answer = say_hello(three, raw_server_name=ODD_NAMES[name], versions=versions)
    assert not answer.hello, answer
    assert answer.alert is not None, "closed without an alert"


# Versions, suites, groups.


@pytest.mark.parametrize("legacy", [0x0300, hello.TLS10, hello.TLS11], ids=["SSL3", "1.0", "1.1"])
def test_old_versions_are_refused(three, legacy):
    answer = say_hello(
        three, HOST, versions=None, legacy_version=legacy, suites=("ECDHE-ECDSA-AES128-SHA",)
    )
    assert answer.alert_name == "protocol_version"


def test_old_versions_are_refused_by_extension(three):
    answer = say_hello(three, HOST, versions=(hello.TLS11, hello.TLS10))
    assert answer.alert_name == "protocol_version"


def test_openssl_gets_no_tls_1_1(three, authority):
    done = tools.s_client(
        three.port, HOST, authority.root_file, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"
    )
    assert done.returncode != 0
    assert tools.alert_number(done) == 70, done.stderr


def test_newest_version_is_chosen(three, trusted):
    with three.connect(trusted) as connection:
        assert connection.tls.version() == "TLSv1.3"


GOOD_SUITES = {
    RSA_HOST: [
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-RSA-CHACHA20-POLY1305",
    ],
    HOST: [
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
    ],
}

# OpenSSL's SSL_OP_NO_EXTENDED_MASTER_SECRET, for which Python has no name.
NO_EXTENDED_MASTER_SECRET = 1

WEAK_SUITES = {
    HOST: [
        "ECDHE-ECDSA-AES128-SHA",
        "ECDHE-ECDSA-AES128-SHA256",
        "ECDHE-ECDSA-NULL-SHA",
        "ECDHE-ECDSA-AES128-CCM8",
        "AECDH-AES128-SHA",
        "PSK-AES128-GCM-SHA256",
    ],
    RSA_HOST: [
        "ECDHE-RSA-AES128-SHA",
        "ECDHE-RSA-AES128-SHA256",
        "DHE-RSA-AES128-GCM-SHA256",
        "AES128-GCM-SHA256",
        "AES128-SHA",
        "DES-CBC3-SHA",
        "RC4-SHA",
        "NULL-SHA",
    ],
}


def pairs(table):
    return [(host, suite) for host, suites in table.items() for suite in suites]


@pytest.mark.parametrize("host, suite", pairs(GOOD_SUITES))
def test_good_suites_are_taken(three, host, suite):
    answer = say_hello(three, host, versions=None, suites=(suite,))
    assert answer.suite == hello.SUITES[suite]


@pytest.mark.parametrize("extended", [True, False], ids=["extended", "plain"])
@pytest.mark.parametrize("host, suite", pairs(GOOD_SUITES))
def test_fetch_with_each_suite_of_tls_1_2(three, authority, host, suite, extended):
    """With a master secret of RFC 7627 and without."""
    context = ssl.create_default_context(cafile=str(authority.root_file))
    context.maximum_version = client.TLS12
    context.set_ciphers(suite)
    context.options |= 0 if extended else NO_EXTENDED_MASTER_SECRET
    with client.Connection(three.port, host, context) as connection:
        assert connection.tls.cipher()[0] == suite
        assert connection.exchange(client.request(host, close=True)).status == 200


@pytest.mark.parametrize("host, suite", pairs(WEAK_SUITES))
def test_weak_suites_are_refused(three, host, suite):
    answer = say_hello(three, host, versions=None, suites=(suite,))
    assert answer.alert_name in ("handshake_failure", "insufficient_security")


@pytest.mark.parametrize("suite", ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"])
def test_suites_of_tls_1_3(three, suite):
    answer = say_hello(three, HOST, versions=(hello.TLS13,), suites=(suite,))
    assert answer.suite == hello.SUITES[suite]


GROUPS = [("X25519", True), ("P-256", True), ("P-384", True), ("P-521", False), ("X448", False)]
GROUPS += [("brainpoolP256r1", False), ("secp256k1", False)]
GROUPS += [("ffdhe2048", False), ("ffdhe8192", False)]


@pytest.mark.parametrize("group, good", GROUPS)
@pytest.mark.parametrize("name", HELLOS)
def test_groups_are_limited(three, name, group, good):
    """An expensive group would let one client cost us a second of computing."""
    # The certificate's own curve is to be among the groups in TLS 1.2; a host with RSA has none.
    options = {"groups": (group,), "to_the_end": not good, **HELLOS[name]}
    answer = say_hello(three, RSA_HOST, **options)
    if good:
        assert answer.hello, answer
    else:
        assert answer.alert_name in ("handshake_failure", "insufficient_security")


def test_fast_groups_come_first(three):
    """A client that sent a share of P-256 is not asked for another."""
    for groups in (("X25519", "P-384"), ("P-256", "P-384")):
        assert not say_hello(three, HOST, groups=groups).retry


@pytest.mark.parametrize("group", ["X25519", "P-256", "P-384"])
@pytest.mark.parametrize("option", ["-tls1_2", "-tls1_3"])
def test_groups_work_to_the_end(three, authority, group, option):
    """A share for another group first makes a HelloRetryRequest, after which all is asked again."""
    for groups in (group, f"P-521:{group}"):
        options = [option, "-groups", groups]
        body = tools.s_client_fetch(three.port, RSA_HOST, authority.root_file, *options)
        assert body == three.body("example.net")


def test_old_signatures_are_refused(three):
    for host, signature in ((HOST, "ecdsa_sha1"), (RSA_HOST, "rsa_pkcs1_sha1")):
        answer = say_hello(three, host, signatures=(signature,), versions=None)
        assert answer.alert_name == "handshake_failure", answer


# ALPN.


@pytest.mark.parametrize("version", client.VERSIONS)
@pytest.mark.parametrize("offer", [("h2", "http/1.1"), ("http/1.1",), ("x", "http/1.1", "h2")])
def test_http_1_1_is_chosen(three, authority, offer, version):
    context = client.trusting(authority.root_file, client.VERSIONS[version], offer)
    with three.connect(context) as connection:
        assert connection.tls.selected_alpn_protocol() == "http/1.1"
        assert connection.exchange(client.request(HOST)).body == three.body()


@pytest.mark.parametrize("version", client.VERSIONS)
@pytest.mark.parametrize("offer", [("http/1.0",), ("h2", "http/1.0")])
def test_http_1_0_alone_is_chosen(three, authority, offer, version):
    """curl --http1.0 offers nothing else."""
    context = client.trusting(authority.root_file, client.VERSIONS[version], offer)
    with three.connect(context) as connection:
        assert connection.tls.selected_alpn_protocol() == "http/1.0"
        request = f"GET /.well-known/mta-sts.txt HTTP/1.0\r\nHost: {HOST}\r\n\r\n".encode()
        assert connection.exchange(request).body == three.body()


def test_client_without_alpn_is_served(three, trusted):
    with three.connect(trusted) as connection:
        assert connection.tls.selected_alpn_protocol() is None
        assert connection.exchange(client.request(HOST)).status == 200


@pytest.mark.parametrize("name", HELLOS)
@pytest.mark.parametrize("offer", [(b"h2",), (b"acme-tls/1",), (b"http/0.9", b"smtp")])
def test_other_protocols_get_an_alert(three, offer, name):
    answer = say_hello(three, HOST, alpn=offer, **HELLOS[name])
    assert answer.alert_name == "no_application_protocol"


@pytest.mark.parametrize("version", client.VERSIONS)
def test_h2_only_is_no_application_protocol(three, authority, version):
    context = client.trusting(authority.root_file, client.VERSIONS[version], ("h2",))
    assert refused(three, context, HOST) == "no application protocol"


# Lengths of records.


@pytest.mark.parametrize("length", ["512", "1024", "2048", "4096"])
@pytest.mark.parametrize("option", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("host", [HOST, RSA_HOST])
def test_max_fragment_length_is_not_acknowledged(three, authority, host, option, length):
    """RFC 6066 section 4: a server that acknowledges it must keep to it, and OpenSSL looks."""
    options = (option, "-maxfraglen", length)
    body = tools.s_client_fetch(three.port, host, authority.root_file, *options)
    assert body == three.body(host.removeprefix("mta-sts."))


# Certificates.


def certificates_shown(three, host, root_file, *options):
    done = tools.s_client(three.port, host, root_file, "-showcerts", *options)
    assert done.returncode == 0, done.stderr
    pem = rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n"
    return re.findall(pem, done.stdout, re.S)


@pytest.mark.parametrize("option", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("domain", ["example.com", "example.net", "example.org"])
def test_full_chain_is_sent_in_order(three, authority, domain, option):
    shown = certificates_shown(three, three.host(domain), authority.root_file, option)
    assert b"".join(shown) == three.leaves[domain].chain_pem()


@pytest.fixture(scope="module")
def dual(program, authority, tmp_path_factory):
    """A host with an ECDSA and an RSA certificate, one with P-384 and RSA, one with RSA 4096, a
    wildcard, and a certificate of many names."""
    del program
    setup = Setup(tmp_path_factory.mktemp("dual"), authority)
    leaves = {
        "ecdsa": setup.certify("dual.example", folder="ecdsa"),
        "rsa": setup.certify("dual.example", folder="rsa", kind="RSA 2048"),
        "p384": setup.certify("p384.example", folder="p384", kind="P-384"),
        "p384 rsa": setup.certify("p384.example", folder="p384-rsa", kind="RSA 2048", key_number=1),
        "large": setup.certify("large.example", kind="RSA 4096"),
    }
    many = [f"mta-sts.many{number}.example" for number in range(100)]
    authority.issue(*many).write(setup.certs / "many")
    wildcard = authority.issue("*.wild.example", "*.both.example", key_number=2)
    wildcard.write(setup.certs / "wildcard")
    # Of several that fit the valid one that expires last: not the expired, not the one of later.
    setup.certify("several.example", folder="several-short", end=40)
    leaves["several"] = setup.certify("several.example", folder="several-long", end=200)
    setup.certify("several.example", folder="several-middle", end=100)
    setup.certify("several.example", folder="several-past", begin=-90, end=-1)
    setup.certify("several.example", folder="several-future", begin=2, end=400)
    domains = ["dual.example", "p384.example", "large.example", "several.example"]
    domains += ["many0.example", "many99.example", "wild.example", "both.example"]
    config = setup.write(domains)
    with Server.running(config, expect=[r"several-(past|future)", r"^\s+(why|fix): "]) as server:
        server.leaves = leaves
        yield server


def leaf_shown(dual, host, root_file, *options):
    shown = certificates_shown(dual, host, root_file, *options)
    return next(
        name for name, leaf in dual.leaves.items() if leaf.leaf_pem() == shown[0]
    )


ECDSA_ONLY = "ECDHE-ECDSA-AES128-GCM-SHA256"
RSA_ONLY = "ECDHE-RSA-AES128-GCM-SHA256"
BY_SUITE = [(ECDSA_ONLY, "ecdsa"), (RSA_ONLY, "rsa"), (f"{RSA_ONLY}:{ECDSA_ONLY}", "ecdsa")]
P256, P384, RSA = "ecdsa_secp256r1_sha256", "ecdsa_secp384r1_sha384", "rsa_pss_rsae_sha256"
BY_SIGNATURE = [
    ("mta-sts.dual.example", P256, "ecdsa"),
    ("mta-sts.dual.example", RSA, "rsa"),
    ("mta-sts.dual.example", f"{P256}:{RSA}", "ecdsa"),
    ("mta-sts.dual.example", f"{P384}:{RSA}", "rsa"),
    ("mta-sts.p384.example", P384, "p384"),
    ("mta-sts.p384.example", f"{P384}:{RSA}", "p384"),
    ("mta-sts.p384.example", f"{P256}:{RSA}", "p384 rsa"),
]


@pytest.mark.parametrize("suites, name", BY_SUITE)
def test_right_certificate_in_tls_1_2(dual, authority, suites, name):
    options = ["-tls1_2", "-cipher", suites]
    assert leaf_shown(dual, "mta-sts.dual.example", authority.root_file, *options) == name


@pytest.mark.parametrize("host, signatures, name", BY_SIGNATURE)
def test_right_certificate_in_tls_1_3(dual, authority, host, signatures, name):
    # The intermediate is signed with ECDSA, which the client says it takes in certificates.
    options = ["-tls1_3", "-sigalgs", signatures]
    assert leaf_shown(dual, host, authority.root_file, *options) == name


def test_client_that_can_use_no_certificate_gets_an_alert(dual, authority):
    root, host = authority.root_file, "mta-sts.large.example"
    for options in (["-tls1_2", "-cipher", ECDSA_ONLY], ["-tls1_3", "-sigalgs", P256]):
        done = tools.s_client(dual.port, host, root, *options)
        assert tools.alert_number(done) == 40, done.stderr


@pytest.mark.parametrize("version", client.VERSIONS)
@pytest.mark.parametrize("domain", ["large", "many0", "many99", "wild", "both", "p384", "dual"])
def test_certificate_kinds_are_served(dual, authority, domain, version):
    context = client.trusting(authority.root_file, client.VERSIONS[version])
    assert client.fetch(dual.port, f"mta-sts.{domain}.example", context).status == 200


def test_name_in_a_certificate_is_not_yet_a_host(dual, authority):
    """many1 is in the certificate but not in the configuration."""
    answer = say_hello(dual, "mta-sts.many1.example")
    assert answer.alert_name == "unrecognized_name"


def test_of_several_the_valid_one_that_expires_last(dual, authority):
    shown = leaf_shown(dual, "mta-sts.several.example", authority.root_file)
    assert shown == "several"


# What no client should send is in test_torture_tls.py.


def test_large_hello_of_a_modern_client_fits(three):
    """A hybrid key share makes a hello of more than 1.6 KB."""
    answer = say_hello(three, HOST, alpn=tuple(b"x" * 200 for _ in range(9)) + (b"http/1.1",))
    assert answer.hello, answer
