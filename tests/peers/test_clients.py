"""The clients that an operator tries first get every policy, byte for byte."""

import subprocess

import pytest

from support import tools

DOMAINS = ("example.com", "example.net", "example.org")
VERSIONS = ("1.2", "1.3")
pytestmark = pytest.mark.usefixtures("unharmed")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("domain", DOMAINS)
def test_curl(three, authority, domain, version):
    options = ["--tlsv" + version, "--tls-max", version, "--http2"]
    done = tools.curl(three.port, three.host(domain), authority.root_file, *options)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == three.body(domain)


def test_curl_as_operators_call_it(three, authority):
    """The head of the answer in what curl -i shows, and HTTP/1.0."""
    done = tools.curl(three.port, three.host(), authority.root_file, "-i", "-0", "--no-alpn")
    assert done.returncode == 0, done.stderr
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    assert b"\r\nContent-Type: text/plain\r\n" in head + b"\r\n"
    assert body == three.body()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("domain", DOMAINS)
def test_openssl(three, authority, domain, version):
    option = "-tls" + version.replace(".", "_")
    body = tools.s_client_fetch(three.port, three.host(domain), authority.root_file, option)
    assert body == three.body(domain)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("domain", DOMAINS)
def test_gnutls(three, authority, tmp_path, domain, version):
    priority = f"NORMAL:-VERS-ALL:+VERS-TLS{version}"
    host, log_file = three.host(domain), tmp_path / "gnutls.log"
    body = tools.gnutls_fetch(
        three.port, host, authority.root_file, log_file, "--priority", priority
    )
    assert body == three.body(domain)


OLD = "ALL:@SECLEVEL=0"
OPENSSL_REFUSED = {
    "TLS 1.0": (70, "-tls1", "-cipher", OLD),
    "TLS 1.1": (70, "-tls1_1", "-cipher", OLD),
    "DHE": (40, "-tls1_2", "-cipher", "DHE"),
    "CBC": (40, "-tls1_2", "-cipher", "ECDHE+SHA:ECDHE+SHA256:ECDHE+SHA384"),
    "RSA key exchange": (40, "-tls1_2", "-cipher", "kRSA"),
    "no encryption": (40, "-tls1_2", "-cipher", "NULL:@SECLEVEL=0"),
    "no authentication": (40, "-tls1_2", "-cipher", "aNULL:@SECLEVEL=0"),
} | {
    f"{group} in TLS {version}": (40, "-tls" + version.replace(".", "_"), "-groups", group)
    for version, groups in {
        "1.2": ["P-521", "X448", "brainpoolP256r1", "secp256k1"],
        "1.3": ["P-521", "X448", "ffdhe2048", "ffdhe8192"],
    }.items()
    for group in groups
}


@pytest.mark.parametrize("domain", ["example.com", "example.net"])
@pytest.mark.parametrize("name", OPENSSL_REFUSED)
def test_openssl_is_refused(three, authority, domain, name):
    """With the alert that says why: protocol_version or handshake_failure."""
    alert, *options = OPENSSL_REFUSED[name]
    done = tools.s_client(three.port, three.host(domain), authority.root_file, *options)
    assert tools.alert_number(done) == alert, done.stderr


@pytest.mark.parametrize(
    "priority, alert",
    [
        ("NORMAL:-VERS-ALL:+VERS-TLS1.0", 70),
        ("NORMAL:-VERS-ALL:+VERS-TLS1.1", 70),
        ("NORMAL:-GROUP-ALL:+GROUP-SECP521R1", 40),
        ("NORMAL:-VERS-ALL:+VERS-TLS1.3:-GROUP-ALL:+GROUP-FFDHE2048", 40),
        ("NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+DHE-RSA", 40),
        ("NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+AES-128-CBC", 40),
    ],
)
def test_gnutls_is_refused(three, authority, priority, alert):
    host = three.host("example.net")
    command = ["gnutls-cli", "--x509cafile", str(authority.root_file), "--port", str(three.port)]
    command += ["--sni-hostname", host, "--verify-hostname", host, "--priority", priority]
    done = subprocess.run(
        [*command, "127.0.0.1"], input=b"", capture_output=True, timeout=30, check=False
    )
    assert b"Received alert [%d]" % alert in done.stdout + done.stderr


def test_openssl_may_not_renegotiate(three, authority):
    """The server knows the extension of RFC 5746, and refuses nevertheless."""
    options = ["-tls1_2", "-legacy_renegotiation"]
    host, root = three.host(), authority.root_file
    done = tools.s_client(three.port, host, root, *options, data=b"R\n", quiet=False)
    assert b"Secure Renegotiation IS supported" in done.stdout
    assert b"RENEGOTIATING" in done.stdout + done.stderr
    assert b"no renegotiation" in done.stderr, done.stderr
