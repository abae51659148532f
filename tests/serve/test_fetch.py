"""A sender fetches the policy: three domains, three certificates, both TLS versions."""

import socket

import pytest

from support import client, server
from support.server import Server
from support.setup import DEFAULT_POLICY, Setup, body_of
from support.tree import LIMITS

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


@pytest.mark.parametrize("version", client.VERSIONS)
def test_more_chains_than_a_worker_keeps_parsed(tmp_path, authority, version):
    """Each domain shows its own, also who is in the middle of a handshake when it is parsed no more."""
    setup = Setup(tmp_path, authority)
    domains = [f"d{n}.example" for n in range(LIMITS["LIMIT_PARSED_CHAINS"] + 1)]
    leaves = {domain: setup.certify(domain) for domain in domains}
    context = client.trusting(authority.root_file, client.VERSIONS[version])
    config = setup.write(domains, workers=1)

    def shown(port, domain):
        with client.Connection(port, f"mta-sts.{domain}", context) as connection:
            return connection.tls.getpeercert(binary_form=True)

    with Server.running(config) as running:
        host = f"mta-sts.{domains[0]}"
        slow = client.Stepped(host, context)
        with socket.create_connection(("127.0.0.1", running.port), timeout=15) as plain:
            plain.sendall(slow.take())
            first = plain.recv(65536)
            for domain in domains[1:] * 2:
                assert shown(running.port, domain) == leaves[domain].der
            slow.give(first)
            client.handshake_in_pieces(plain, slow)
            plain.sendall(slow.take() + slow.encrypt(client.request(host, close=True)))
            answer = b""
            while (part := slow.decrypt()) is not None:
                answer += part
                if not part:
                    slow.give(plain.recv(65536))
        assert slow.tls.getpeercert(binary_form=True) == leaves[domains[0]].der
        assert answer.endswith(b"\r\n\r\n" + body_of(DEFAULT_POLICY))
        assert shown(running.port, domains[0]) == leaves[domains[0]].der
        assert not running.unexpected(), running.log()
