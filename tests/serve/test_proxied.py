"""A proxy that ends TLS has the certificate: it is not ours to judge, and everything says so alike."""

import json

import pytest

from support import client, monitor, server
from support.server import free_port
from support.setup import DEFAULT_POLICY, body_of
from support.wait import until

PLAIN = {"address": "127.0.0.1:0", "tls": False}


def run(command, setup, *arguments):
    return server.run(command, "-c", setup.config, *arguments)


def states(setup):
    done = run("list", setup, "--json")
    return {row["domain"]: (row["state"], row["proxied"], len(row["certificates"])) for row in json.loads(done.stdout)}


def answer(running, domain):
    response = monitor.ask(running, f"/health?domain={domain}")
    return response.status, response.body.decode().strip()


@pytest.mark.parametrize("certificates", [False, True], ids=["none", "one"])
def test_every_listener_is_behind_a_proxy(setup, start, certificates):
    """With a certificate in a folder, too, even one that has expired."""
    if certificates:
        setup.certify("example.com", begin=-90, end=-1)
    setup.write(
        ["example.com", "example.net"],
        listen=PLAIN,
        metrics=monitor.ADDRESS,
        certificates=["certs"] if certificates else None,
    )
    checked = run("check", setup)
    assert checked.returncode == 0 and b"warning" not in checked.stderr + checked.stdout.replace(b"0 warnings", b"")
    assert b"2 domains served, 0 refused; 0 errors" in checked.stdout
    running = start(setup.config)
    assert states(setup) == dict.fromkeys(["example.com", "example.net"], ("served", True, 0))
    assert b" proxy " in run("list", setup).stdout
    records = run("dns", setup)
    assert records.returncode == 0 and records.stdout.count(b"_mta-sts.") == 2 and b"withheld" not in records.stdout
    values = monitor.samples(running)
    assert (values['domains{state="served"}'], values['domains{state="no-certificate"}']) == (2, 0)
    assert not any(name.startswith("certificate_") for name in values)
    assert answer(running, "example.com") == (200, "ok")
    assert run("hosts", setup, "--missing").stdout == b""
    # The address was chosen by the kernel, so that health is told which it is.
    fetched = client.fetch(running.port, "mta-sts.example.net", None)
    assert fetched.body == body_of(DEFAULT_POLICY)


def test_one_domain_is_behind_a_proxy(setup, start):
    """With both kinds of listeners the domain says who has its certificate."""
    setup.certify("example.com")
    ports = [free_port(), free_port()]
    setup.write(
        {"example.com": None, "example.net": {"policy": "default", "certificate": "proxy"}, "example.org": None},
        listen=[f"127.0.0.1:{ports[0]}", {"address": f"127.0.0.1:{ports[1]}", "tls": False}],
        metrics=monitor.ADDRESS,
    )
    running = start(setup.config, expect=["example.org", "why: ", "fix: "])
    assert states(setup) == {
        "example.com": ("served", False, 1),
        "example.net": ("served", True, 0),
        "example.org": ("no-certificate", False, 0),
    }
    values = monitor.samples(running)
    assert (values['domains{state="served"}'], values['domains{state="no-certificate"}']) == (2, 1)
    assert [answer(running, f"example.{top}")[0] for top in ("com", "net", "org")] == [200, 200, 503]
    assert [run("health", setup, f"example.{top}").returncode for top in ("com", "net", "org")] == [0, 0, 1]
    assert run("health", setup).returncode == 0
    assert [run("dns", setup, f"example.{top}").returncode == 0 for top in ("com", "net", "org")] == [True, True, False]
    assert run("hosts", setup, "--missing").stdout == b"mta-sts.example.org\n"


def test_reload_moves_a_domain_behind_a_proxy(setup, start):
    setup.certify("example.com")
    listen = ["127.0.0.1:0", {"address": f"unix:{setup.root}/http.sock", "tls": False}]
    setup.write(["example.com"], listen=listen, metrics=monitor.ADDRESS)
    running = start(setup.config)
    assert "certificate_not_after_timestamp_seconds" in monitor.samples(running)
    setup.write({"example.com": {"policy": "default", "certificate": "proxy"}}, listen=listen, metrics=monitor.ADDRESS)
    assert running.reload()
    until(lambda: "certificate_not_after_timestamp_seconds" not in monitor.samples(running), "no certificate in use")
    assert answer(running, "example.com") == (200, "ok")


def test_proxy_without_a_listener_for_it(setup):
    setup.certify("example.com")
    setup.write({"example.com": {"policy": "default", "certificate": "proxy"}})
    checked = run("check", setup)
    assert b'warning: a proxy has the certificate, but no listener for policies has "tls: false"' in checked.stderr
