"""Metrics and health: exact figures, read by another program's strict parser."""

import datetime
import os
import re
import shutil
import signal
import ssl
import subprocess

import pytest

from support import client, hello, monitor, tree
from support.wait import until

DOMAIN = "example.com"
HOST = "mta-sts." + DOMAIN
ALERTS = tree.ROOT / "config" / "prometheus-alerts.yaml"
NO_CERTIFICATE = ["warning: .*certificate", "why: ", "fix: "]
BROKEN = {"mode": "enforced"}


@pytest.fixture(name="watched")
def fixture_watched(setup, start):
    """Two workers, a domain with a certificate and one without, and a place for a monitor."""
    leaf = setup.certify(DOMAIN)
    setup.write([DOMAIN, "example.net"], metrics=monitor.ADDRESS)
    running = start(setup.config, expect=NO_CERTIFICATE)
    running.leaf = leaf
    return running


def changed(before, after):
    """What has changed between two readings, but for what changes by itself."""
    return {
        name: value - before.get(name, 0)
        for name, value in after.items()
        if value != before.get(name, 0) and name != "connections" and not name.startswith("resident_")
    }


def test_certificates_of_single_domains(watched):
    """Only those that are asked for: what is unknown or has no certificate is left out."""
    target = f"/metrics?domain={DOMAIN}&domain=example.net&x=y&domain=unknown.example&domain=&"
    name = "mta_sts_httpd_domain_certificate_not_after_timestamp_seconds"
    assert name not in monitor.families(watched)
    (sample,) = monitor.families(watched, target)[name].samples
    end = watched.leaf.certificate.not_valid_after.replace(tzinfo=datetime.timezone.utc)
    assert (sample.labels, sample.value) == ({"domain": DOMAIN}, end.timestamp())


def test_what_a_fresh_server_says(watched, setup):
    """The whole list of names is a promise."""
    del setup
    values = until(
        lambda: (found := monitor.samples(watched))
        and 'resident_memory_bytes{process="workers"}' in found
        and found,
        "the memory to be known",
    )
    ends = values.pop("certificate_not_after_timestamp_seconds")
    assert ends == (
        watched.leaf.certificate.not_valid_after.replace(tzinfo=datetime.timezone.utc).timestamp()
    )
    lifetime = watched.leaf.certificate.not_valid_after - watched.leaf.certificate.not_valid_before
    warned = ends - min(21 * 86400, lifetime.total_seconds() // 5)
    assert values.pop("certificate_warning_timestamp_seconds") == warned
    assert values.pop("last_reload_success_timestamp_seconds") > 1.6e9
    for process in ("supervisor", "workers"):
        assert values.pop(f'resident_memory_bytes{{process="{process}"}}') > 1e5
    version = subprocess.run([tree.program(), "--version"], capture_output=True, check=True)
    number = version.stdout.decode().split()[1]
    zeros = [
        *(f'handshakes_total{{version="1.{minor}",result="done"}}' for minor in (2, 3)),
        *(
            f'handshakes_total{{version="none",result="{result}"}}'
            for result in (
                "no_name unknown_name old_version nothing_in_common refused_by_client"
                " closed_by_client timeout memory protocol"
            ).split()
        ),
        *(f'fetches_total{{code="{code}"}}' for code in (200, 400, 404, 405, 421, 431, 503, 505)),
        "connections_evicted_total",
        "connections_limited_total",
        "workers_replaced_total",
        *(f'reloads_total{{result="{result}"}}' for result in ("done", "refused")),
        *(f'domains{{state="{state}"}}' for state in ("stale", "refused")),
        "domains_tested_long",
        "domains_held_against",
    ]
    assert values == dict.fromkeys(zeros, 0) | {
        f'build_info{{version="{number}"}}': 1,
        "connections": 1,
        'domains{state="served"}': 1,
        'domains{state="no-certificate"}': 1,
    }


def test_answers_are_counted_by_status(watched, trusted):
    rows = {
        200: client.request(HOST),
        404: client.request(HOST, target="/"),
        405: client.request(HOST, method="POST"),
        421: client.request("mta-sts.example.org"),
        400: client.request(None),
        431: client.request(HOST, headers=["X: " + "x" * 5000]),
        505: client.request(HOST, version="HTTP/2.0"),
    }
    for status, data in rows.items():
        before = monitor.samples(watched)
        with client.Connection(watched.port, HOST, trusted) as connection:
            assert connection.exchange(data).status == status
        assert changed(before, monitor.samples(watched)) == {
            f'fetches_total{{code="{status}"}}': 1,
            'handshakes_total{version="1.3",result="done"}': 1,
        }


def refused_handshake(port, name, context, data=None):
    """A handshake that comes to nothing, to the end of the connection."""
    with client.dial(port) as plain:
        if data is not None:
            plain.sendall(data)
            plain.shutdown(1)
            while plain.recv(4096):
                pass
            return
        with pytest.raises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(plain, server_hostname=name)


def test_handshakes_are_counted_by_version_and_reason(watched, authority):
    root = authority.root_file
    for minor, version in ((2, client.TLS12), (3, client.TLS13)):
        before = monitor.samples(watched)
        client.fetch(watched.port, HOST, client.trusting(root, version))
        assert changed(before, monitor.samples(watched)) == {
            'fetches_total{code="200"}': 1,
            f'handshakes_total{{version="1.{minor}",result="done"}}': 1,
        }
    anyone = client.trusting(root, check=False)
    old = client.trusting(root, ciphers="AES128-SHA", version=client.TLS12)
    strange = ssl.create_default_context()  # which does not trust our authority
    rows = {
        "no_name": (None, anyone, None),
        "unknown_name": ("mta-sts.example.net", anyone, None),
        "nothing_in_common": (HOST, old, None),
        "refused_by_client": (HOST, strange, None),
        "old_version": (None, None, hello.record(hello.client_hello(legacy_version=hello.TLS11, versions=None))),
        "closed_by_client": (None, None, b"\x16\x03\x01\x00\x05"),
        "protocol": (None, None, b"GET / HTTP/1.0\r\n\r\n"),
    }
    for reason, (name, context, data) in rows.items():
        before = monitor.samples(watched)
        refused_handshake(watched.port, name, context, data)
        until(
            lambda: changed(before, monitor.samples(watched))
            == {f'handshakes_total{{version="none",result="{reason}"}}': 1},
            f"the failure {reason} to be counted, alone",
        )


def test_counters_survive_reloads_and_dead_workers(watched, setup, trusted):
    def expect(fetches, **more):
        values = monitor.samples(watched)
        assert values['fetches_total{code="200"}'] == fetches
        assert {name: values[f'reloads_total{{result="{name}"}}'] for name in ("done", "refused")} | {
            "replaced": values["workers_replaced_total"]
        } == {"done": 0, "refused": 0, "replaced": 0} | more

    client.fetch(watched.port, HOST, trusted)
    expect(1)
    assert watched.reload()
    client.fetch(watched.port, HOST, trusted)
    expect(2, done=1)
    watched.expect(r"error: ", "reload refused", "why: ", "fix: ")
    good = setup.config.read_text()
    setup.config.write_text("listen: nowhere\n")
    assert not watched.reload()
    expect(2, done=1, refused=1)
    setup.config.write_text(good)
    watched.expect(r"worker \d+ (died: Killed|is replaced)$")
    for victim in watched.wait_workers(2):
        os.kill(victim, signal.SIGKILL)
    until(lambda: monitor.samples(watched)["workers_replaced_total"] == 2, "both to be replaced")
    client.fetch(watched.port, HOST, trusted)
    expect(3, done=1, refused=1, replaced=2)


def test_domains_are_counted_by_state(watched, setup):
    setup.write({DOMAIN: BROKEN, "example.org": BROKEN, "example.net": None}, metrics=monitor.ADDRESS)
    watched.expect("error: mode ", "error: domain .* lacks", "note: ", " 1 stale")
    assert watched.reload()
    values = monitor.samples(watched)
    states = ("served", "stale", "refused", "no-certificate")
    assert [values[f'domains{{state="{state}"}}'] for state in states] == [0, 1, 1, 1]


def test_connections_are_those_of_now(watched, trusted):
    assert monitor.samples(watched)["connections"] == 1  # the monitor itself
    held = [client.Connection(watched.port, HOST, trusted) for _ in range(3)]
    assert monitor.samples(watched)["connections"] == 4
    for connection in held:
        connection.close()
    until(lambda: monitor.samples(watched)["connections"] == 1, "the connections to be gone")


def test_a_network_at_its_limit_is_counted(setup, start):
    """With room for few descriptors a network's own connections give way."""
    setup.write([DOMAIN], metrics=monitor.ADDRESS, workers=1, certificates=None)
    running = start(setup.config, prefix=["prlimit", "--nofile=64:64"], expect=NO_CERTIFICATE)
    held = []
    while not monitor.samples(running)["connections_limited_total"]:
        assert len(held) < 100
        held.append(client.dial(running.port))
    for plain in held:
        plain.close()


HEALTH = {
    "/health": (200, b"ok\n"),
    "/health?": (200, b"ok\n"),
    "/health?domain=example.com": (200, b"ok\n"),
    "/health?domain=EXAMPLE.com.": (200, b"ok\n"),
    "/health?domain=example.net": (503, b"there is no certificate\n"),
    "/health?domain=example.org": (503, b"the domain is not configured\n"),
    "/health?domain=": (503, b"the domain is not configured\n"),
    "/health?domain=example.com&y=z": (200, b"ok\n"),
    "/health?y=z&domain=example.com": (200, b"ok\n"),
    "/health?&y&=&Domain=example.com&": (200, b"ok\n"),
    "/health?domain=ex%61mple%2Ecom": (200, b"ok\n"),
    "/health?dom%61in=example.com": (200, b"ok\n"),
    "/health?domain=example.com&domain=example.org": (503, b"the domain is not configured\n"),
    "/health?domains=example.org": (200, b"ok\n"),
    "/health?y=domain=example.org": (200, b"ok\n"),
    "/health?domain": (503, b"the domain is not configured\n"),
    "/health?domain=example.com%": (503, b"the domain is not configured\n"),
    "/health?domain=example.com%2": (503, b"the domain is not configured\n"),
    "/health?domain=%6": (503, b"the domain is not configured\n"),
    "/health?domain=" + "a" * 2000: (503, b"the domain is not configured\n"),
    "/health?domain=%00%0d%0aX:y": (503, b"the domain is not configured\n"),
}


def test_health(watched):
    for target, expected in HEALTH.items():
        response = monitor.ask(watched, target)
        assert (response.status, response.body) == expected, target
        assert response.header("Content-Type") == "text/plain"


def test_health_names_what_ails_a_domain(setup, start):
    names = ["expired", "future", "refused", "fine"]
    setup.certify("fine.example")
    setup.certify("refused.example")
    setup.certify("expired.example", begin=-9, end=-1)
    domains = {f"{name}.example": BROKEN if name == "refused" else None for name in names}
    setup.write(domains, metrics=monitor.ADDRESS)
    running = start(setup.config, expect=["error: ", "why: ", "fix: ", "warning: "])
    rows = {
        "fine": (200, b"ok\n"),
        "expired": (503, b"the certificate has expired\n"),
        "refused": (503, b"the policy is refused\n"),
    }
    for name, expected in rows.items():
        response = monitor.ask(running, f"/health?domain={name}.example")
        assert (response.status, response.body) == expected


def test_health_without_a_certificate_is_alive(setup, start):
    """As for the health command: a restart would not mend it."""
    setup.write([DOMAIN], metrics=monitor.ADDRESS)
    running = start(setup.config, expect=NO_CERTIFICATE)
    response = monitor.ask(running, "/health")
    assert (response.status, response.body) == (200, b"alive, but no domain is served\n")


def test_the_two_kinds_of_endpoint_do_not_mix(watched, trusted):
    """No policy for whoever may ask for metrics, and no metrics for the world."""
    for target in ("/metrics", "/health", "/senders?domain=" + DOMAIN):
        with client.Connection(watched.port, HOST, trusted) as connection:
            assert connection.exchange(client.request(HOST, target=target)).status == 404
    rows = {
        ("GET", client.PATH): 404,
        ("GET", "/"): 404,
        ("GET", "/metrics/"): 404,
        ("POST", "/metrics"): 405,
        ("OPTIONS", "*"): 404,
        ("GET", "/metrics?name=value"): 200,
    }
    for (method, target), status in rows.items():
        assert monitor.ask(watched, target, method=method, host=HOST).status == status, target


def test_head_says_the_same_without_a_body(watched):
    head = monitor.ask(watched, "/metrics", method="HEAD")
    assert (head.status, head.body, head.header("Content-Type")) == (200, b"", monitor.TYPE)
    assert int(head.header("Content-Length")) > 1000


def test_a_connection_is_kept(watched):
    with client.Connection(watched.metrics, None, None, address="127.0.0.2") as connection:
        data = client.request("monitor", target="/metrics")
        for _ in range(3):
            assert connection.exchange(data).status == 200
        connection.send(data * 5)
        assert [connection.response().status for _ in range(5)] == [200] * 5


def test_a_unix_socket(setup, start):
    path = setup.root / "metrics.sock"
    setup.write([DOMAIN], metrics=f"unix:{path}", certificates=None)
    running = start(setup.config, expect=NO_CERTIFICATE)
    assert running.metrics == str(path)
    assert monitor.samples(running)['domains{state="no-certificate"}'] == 1


def test_the_health_command_leaves_the_endpoint_alone(setup, program):
    """It asks the listeners for policies; nobody listens here."""
    setup.write([DOMAIN], listen="127.0.0.1:1", metrics="127.0.0.1:2", certificates=None)
    done = subprocess.run(
        [program, "health", "-c", setup.config], capture_output=True, check=False, text=True
    )
    assert done.stdout == "127.0.0.1:1: unhealthy: Connection refused\n"


def test_every_alert_asks_for_what_is_there(watched):
    known = set()
    for family in monitor.families(watched).values():
        known |= {family.name + suffix for suffix in ("", "_total", "_info")}
    asked = set(re.findall(r"\bmta_sts_httpd_\w+", ALERTS.read_text()))
    assert len(asked) >= 6
    assert asked <= known
    if shutil.which("promtool"):
        subprocess.run(["promtool", "check", "rules", ALERTS], check=True)
