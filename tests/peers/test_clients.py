"""The clients that an operator tries first get every policy, byte for byte."""

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
