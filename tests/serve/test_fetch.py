"""A sender fetches the policy: three domains, three certificates, both TLS versions."""

import pytest

from support import client, server
from support.setup import body_of

DOMAINS = ("example.com", "example.net", "example.org")
pytestmark = pytest.mark.usefixtures("unharmed")


@pytest.mark.parametrize("version", client.VERSIONS)
@pytest.mark.parametrize("domain", DOMAINS)
def test_policy_arrives_byte_for_byte(three, authority, domain, version):
    context = client.trusting(authority.root_file, client.VERSIONS[version])
    with three.connect(context, domain) as connection:
        assert connection.tls.version() == version
        assert connection.tls.getpeercert(binary_form=True) == three.leaves[domain].der
        response = connection.exchange(client.request(three.host(domain), close=True))
        assert connection.rest() == b""
    assert response.status == 200
    assert response.body == body_of(three.POLICIES[domain])


@pytest.mark.parametrize("domain", DOMAINS)
def test_policy_command_prints_what_is_served(three, trusted, domain):
    printed = server.run("policy", "-c", three.setup.config, domain)
    assert (printed.returncode, printed.stderr) == (0, b"")
    assert printed.stdout == client.fetch(three.port, three.host(domain), trusted).body


def test_certificate_of_one_domain_is_not_shown_for_another(three, trusted):
    for domain in DOMAINS:
        with three.connect(trusted, domain) as connection:
            names = dict(connection.tls.getpeercert())["subjectAltName"]
            assert names == (("DNS", three.host(domain)),)


def test_every_worker_is_reached(three, trusted):
    """The sockets are shared: no connection waits for a worker that does not look."""
    for _ in range(40):
        assert client.fetch(three.port, three.host(), trusted).status == 200
