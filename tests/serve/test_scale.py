"""Many domains. The figures are printed for whoever looks; only correctness is judged."""

import random
import time
from concurrent.futures import ThreadPoolExecutor

from support import client, hello
from support.server import Server, memory_of
from support.setup import DEFAULT_POLICY, body_of

THREADS = 2


class Timed:
    """A server, and the seconds from its start to ready and to the first fetch."""

    def __init__(self, config, host, context):
        begin = time.monotonic()
        self.server = Server(config)
        try:
            self.server.wait_ready(1, seconds=60)
            self.ready = time.monotonic() - begin
            assert client.fetch(self.server.port, host, context).status == 200
            self.first = time.monotonic() - begin
        except BaseException:
            self.server.kill()
            raise

    def report(self, capsys, what):
        pids = [self.server.pid, *self.server.children()]
        memory = sum(memory_of(pid) for pid in pids) / 1024
        with capsys.disabled():
            print(f"\n  {what}: ready after {self.ready:.2f} s,", end=" ")
            print(f"first fetch after {self.first:.2f} s,")
            print(f"  PSS of all {len(pids)} processes {memory:.1f} MB", end=" ")


def fetch_all(server, context, bodies):
    """Fetches the policy of every domain and compares."""

    def one(item):
        domain, expected = item
        response = client.fetch(server.port, f"mta-sts.{domain}", context)
        return (response.status, response.body) == (200, expected)

    with ThreadPoolExecutor(THREADS) as pool:
        results = list(pool.map(one, bodies.items()))
    assert all(results), f"{results.count(False)} of {len(results)} got something else"


def unknown(server):
    message = hello.record(hello.client_hello("mta-sts.customer.example"))
    return hello.answer_to(server.port, message).alert_name


def test_thousand_domains_with_a_certificate_each(setup, trusted, capsys):
    policies = {}
    for number in range(1000):
        domain = f"customer{number}.example"
        policies[domain] = {"mode": "enforce", "max_age": "2w", "mx": [f"mx.{domain}"]}
        setup.certify(domain)
    config = setup.write(policies)
    timed = Timed(config, "mta-sts.customer999.example", trusted)
    try:
        bodies = {domain: body_of(policy) for domain, policy in policies.items()}
        fetch_all(timed.server, trusted, bodies)
        assert unknown(timed.server) == "unrecognized_name"
        timed.report(capsys, "1,000 domains, 1,000 certificates")
        begin = time.monotonic()
        assert timed.server.reload()
        with capsys.disabled():
            print(f"\n  reload of them {time.monotonic() - begin:.2f} s", end=" ")
        timed.server.stop()
    finally:
        timed.server.kill()


def test_ten_thousand_domains_on_shared_certificates(setup, trusted, capsys):
    domains = [f"customer{number}.example" for number in range(10000)]
    for start in range(0, len(domains), 100):
        setup.certify(*domains[start : start + 100], folder=f"shared{start}")
    timed = Timed(setup.write(domains), "mta-sts.customer9999.example", trusted)
    try:
        some = random.Random(8461).sample(domains, 300)
        fetch_all(timed.server, trusted, {name: body_of(DEFAULT_POLICY) for name in some})
        assert unknown(timed.server) == "unrecognized_name"
        timed.report(capsys, "10,000 domains, 100 certificates of 100 names")
        timed.server.stop()
    finally:
        timed.server.kill()
