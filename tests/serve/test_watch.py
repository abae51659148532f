"""Renewed files are noticed without a signal, and only what is whole and consistent is taken."""

import json
import os
import random
import signal
import socket
import threading

import pytest

from support import client, preload
from support.setup import DEFAULT_POLICY, body_of, replace_file
from support.wait import until

from test_layouts import HOST, certbot, haproxy, kubernetes, mailcow, shown
from test_notify import Manager
from test_reload import Fetchers

NOTICED = r"^mta-sts-httpd: (files|certificates) have changed: loading (them )?again$"
SAID = r"error: |warning: |note: |^    (why|fix): "


def wait_generation(running, number):
    """Waits until the generation serves and the one before it is gone."""
    running.wait_line(rf"ready: generation {number},", seconds=30)
    running.wait_workers(2)
    running.generation = number


@pytest.fixture
def leaves(authority):
    found = [authority.issue(HOST, end=30 + number) for number in range(4)]
    for leaf in found:
        leaf.other = authority.issue("mail.example.com")
    return found


@pytest.mark.parametrize("layout", [certbot, haproxy, kubernetes, mailcow], ids=lambda f: f.__name__)
def test_renewal_is_noticed(start, setup, trusted, leaves, layout):
    folder = layout(setup.root, leaves[0], 1)
    running = start(setup.write(["example.com"], certificates=[str(folder)]), expect=[NOTICED])
    layout(setup.root, leaves[1], 2)
    wait_generation(running, 2)
    assert shown(running, trusted) == leaves[1].certificate.serial_number


def test_first_certificate_is_noticed(start, setup, trusted, leaves):
    running = start(setup.write(["example.com"]), expect=[NOTICED, SAID])
    leaves[0].write(setup.certs / "new")
    wait_generation(running, 2)
    assert shown(running, trusted) == leaves[0].certificate.serial_number


@pytest.mark.parametrize("first", ["key", "certificate"])
def test_half_of_a_pair_changes_nothing(start, setup, trusted, leaves, first):
    folder = leaves[0].write(setup.certs / "pair")
    running = start(setup.write(["example.com"]), expect=[NOTICED, SAID])
    halves = {
        "key": lambda: replace_file(folder / "privkey.pem", leaves[1].key_pem()),
        "certificate": lambda: replace_file(folder / "fullchain.pem", leaves[1].chain_pem()),
    }
    halves.pop(first)()
    wait_generation(running, 2)
    assert shown(running, trusted) == leaves[0].certificate.serial_number
    halves.popitem()[1]()
    wait_generation(running, 3)
    assert shown(running, trusted) == leaves[1].certificate.serial_number


def test_truncated_file_changes_nothing(start, setup, trusted, leaves):
    folder = leaves[0].write(setup.certs / "pair")
    running = start(setup.write(["example.com"]), expect=[NOTICED, SAID])
    whole = leaves[1].chain_pem()
    (folder / "fullchain.pem").write_bytes(whole[: len(whole) // 3])
    wait_generation(running, 2)
    assert shown(running, trusted) == leaves[0].certificate.serial_number
    (folder / "privkey.pem").write_bytes(leaves[1].key_pem())
    (folder / "fullchain.pem").write_bytes(whole)
    wait_generation(running, 3)
    assert shown(running, trusted) == leaves[1].certificate.serial_number


def test_removed_certificate_stays_in_use(start, setup, trusted, leaves):
    folder = leaves[0].write(setup.certs / "pair")
    running = start(setup.write(["example.com"]), expect=[NOTICED, SAID])
    (folder / "fullchain.pem").unlink()
    wait_generation(running, 2)
    assert shown(running, trusted) == leaves[0].certificate.serial_number


def test_many_changes_are_one_reload(start, setup, authority, trusted):
    domains = [f"d{number}.example" for number in range(50)]
    for domain in domains:
        setup.certify(domain, end=30)
    running = start(setup.write(domains), expect=[NOTICED])
    renewed = [authority.issue(f"mta-sts.{domain}", end=60) for domain in domains]
    for domain, leaf in zip(domains, renewed, strict=True):
        leaf.write(setup.certs / domain)
    wait_generation(running, 2)
    for domain, leaf in zip(domains, renewed, strict=True):
        with client.Connection(running.port, f"mta-sts.{domain}", trusted) as connection:
            serial = int(connection.tls.getpeercert()["serialNumber"], 16)
            assert serial == leaf.certificate.serial_number
    assert sum("have changed" in line for line in running.lines) == 1


def test_configuration_is_watched_when_asked(start, setup, trusted):
    setup.certify("example.com")
    running = start(setup.write(["example.com"], watch=True), expect=[NOTICED, SAID, "refused"])
    changed = dict(DEFAULT_POLICY, mode="testing")
    setup.write({"example.com": changed}, watch=True)
    wait_generation(running, 2)
    answer = client.fetch(running.port, HOST, trusted)
    assert answer.body == body_of(changed)

    replace_file(setup.config, "domains: [\n")
    running.wait_line("reload refused")
    setup.write(["example.com"], watch=True)
    wait_generation(running, 3)
    assert client.fetch(running.port, HOST, trusted).body == body_of(DEFAULT_POLICY)
    assert sum("reload refused" in line for line in running.lines) == 1


@pytest.mark.parametrize("signal", [None, 1], ids=["watched", "SIGHUP"])
def test_half_edited_configuration_stops_no_renewal(start, setup, trusted, leaves, signal):
    """The files of the configuration count as they were read, until a reload accepts new ones."""
    folder = leaves[0].write(setup.certs / "pair")
    running = start(setup.write(["example.com"]), expect=[NOTICED, SAID, "refused"])
    setup.config.write_text(setup.config.read_text() + "domains:\n  another.example: [\n")
    leaves[1].write(folder)
    if signal is not None:
        running.send(signal)
        running.wait_line("reload refused")
    wait_generation(running, 2)
    assert shown(running, trusted) == leaves[1].certificate.serial_number


def test_unwatched_edit_waits_for_its_signal(start, setup, trusted, leaves):
    folder = leaves[0].write(setup.certs / "pair")
    running = start(setup.write(["example.com"]), expect=[NOTICED])
    changed = dict(DEFAULT_POLICY, mode="testing")
    setup.write({"example.com": changed})
    leaves[1].write(folder)
    wait_generation(running, 2)
    assert client.fetch(running.port, HOST, trusted).body == body_of(DEFAULT_POLICY)
    assert running.reload()
    assert client.fetch(running.port, HOST, trusted).body == body_of(changed)


# In the loader, which is forked first, or in the worker.
SHORT = {
    "NEXT_PROCESS": r"reload refused: the loader ended with status 2; generation 1 is still served",
    "NEXT_PROCESS_BUT_ONE": "reload refused: its workers did not start",
}


@pytest.mark.parametrize("process", SHORT)
def test_renewal_that_came_to_nothing_is_tried_again(start, setup, trusted, leaves, tmp_path, process):
    """Memory is short for a moment, just then."""
    fault = preload.Fault(tmp_path)
    folder = leaves[0].write(setup.certs / "pair")
    running = start(setup.write(["example.com"], workers=1), environment=fault.environment,
                    expect=[NOTICED, SAID, "refused"])
    assert running.watcher()  # which is not the next process
    fault.arm(getattr(fault, process), "allocation", 1)
    leaves[1].write(folder)
    running.wait_line(SHORT[process], seconds=30)
    fault.disarm()
    serial = leaves[1].certificate.serial_number
    until(lambda: shown(running, trusted) == serial, "the renewed certificate", 60)


RESTLESS = r"warning: (\S+) is changed again and again: its changes are not waited for any longer$"


@pytest.mark.parametrize("place", ["drop-in", "certificate"])
def test_file_that_never_rests_holds_up_nobody(start, setup, trusted, leaves, place):
    """One customer touches his file all the time: the others' renewals and changes are served, and the
    log names that file."""
    folder = leaves[0].write(setup.certs / "pair")
    setup.certify("example.net")
    drop_ins = setup.root / "domains.d"
    drop_ins.mkdir()
    restless = drop_ins / "restless.yaml" if place == "drop-in" else setup.certs / "restless.pem"
    restless.write_text("domains: {}\n" if place == "drop-in" else "nothing\n")
    other = drop_ins / "other.yaml"
    other.write_text(f"domains: {{example.net: {json.dumps(DEFAULT_POLICY)}}}\n")
    setup.write(["example.com"], watch=True, include="domains.d/*.yaml")
    running = start(setup.config, expect=[NOTICED, SAID, RESTLESS])
    over = threading.Event()

    def touch():
        while not over.wait(0.05):
            os.utime(restless)

    toucher = threading.Thread(target=touch)
    toucher.start()
    try:
        changed = dict(DEFAULT_POLICY, mode="testing")
        leaves[1].write(folder)
        other.write_text(f"domains: {{example.net: {json.dumps(changed)}}}\n")
        serial = leaves[1].certificate.serial_number
        until(lambda: shown(running, trusted) == serial, "the renewed certificate", 60)
        body = body_of(changed)
        until(lambda: client.fetch(running.port, "mta-sts.example.net", trusted).body == body,
              "the change of the other", 60)
        assert running.wait_line(RESTLESS, seconds=30)[1] == str(restless)
    finally:
        over.set()
        toucher.join()


def test_thousand_renewals_under_load(start, setup, authority, trusted, capsys):
    """Key first, certificate first, or a link swapped: never a failed or mismatched handshake."""
    orders = random.Random(8461)
    leaves = [authority.issue(HOST, end=30 + number // 40) for number in range(1001)]
    versions, live = setup.root / "versions", setup.certs / "pair"
    for number, leaf in enumerate(leaves):
        leaf.write(versions / str(number))
    live.parent.mkdir(exist_ok=True)
    live.mkdir()
    for name in ("fullchain.pem", "privkey.pem"):
        (live / name).symlink_to(versions / "0" / name)
    running = start(setup.write(["example.com"]), expect=[NOTICED, SAID])
    fetchers = Fetchers(running.port, trusted, (body_of(DEFAULT_POLICY),), count=4)

    def swap(number, name):
        new = live / (name + ".new")
        new.symlink_to(versions / str(number) / name)
        new.replace(live / name)

    def copy(number, name):
        replace_file(live / name, (versions / str(number) / name).read_bytes())

    try:
        for number in range(1, 1001):
            names = ["fullchain.pem", "privkey.pem"]
            orders.shuffle(names)
            replace = orders.choice([swap, copy])
            replace(number, names[0])
            if orders.random() < 0.3:
                running.send(1)  # SIGHUP in the middle, and nobody waits for it
            replace(number, names[1])
            running.send(1)
            assert not fetchers.failures, fetchers.failures
            if number % 50 == 0:
                serial = leaves[number].certificate.serial_number
                until(lambda: shown(running, trusted) == serial, "the renewed one", 30)  # noqa: B023
    finally:
        fetchers.finish()
    assert not fetchers.failures, fetchers.failures
    with capsys.disabled():
        print(f"\n  1000 renewals during {sum(fetchers.counts)} fetches")


WATCHER_DIED = r"watcher \d+ (died: Killed|is replaced)$"


def test_watcher_that_is_killed_is_started_again(start, setup, trusted, leaves):
    """A renewal after that is noticed, and a challenge is shown; clients see nothing of it."""
    folder = leaves[0].write(setup.certs / "pair")
    challenges = setup.root / "www" / ".well-known" / "acme-challenge"
    challenges.mkdir(parents=True)
    (challenges / "early").write_text("early.thumb")
    acme = {"http": "127.0.0.2:0", "webroot": "www"}
    running = start(setup.write(["example.com"], acme=acme), expect=[NOTICED, WATCHER_DIED])

    def shows(token):
        with socket.create_connection(("127.0.0.2", running.challenges), timeout=10) as stream:
            path = f"/.well-known/acme-challenge/{token}"
            stream.sendall(f"GET {path} HTTP/1.0\r\nHost: {HOST}\r\n\r\n".encode())
            return stream.makefile("rb").read().endswith(f"{token}.thumb".encode())

    until(lambda: shows("early"), "the first challenge")
    workers, watcher = running.workers(), running.watcher()
    os.kill(watcher, signal.SIGKILL)
    assert shows("early")
    after = running.watcher(but=watcher)
    assert shows("early") and running.workers() == workers
    (challenges / "late").write_text("late.thumb")
    until(lambda: shows("late"), "the next challenge", 30)
    leaves[1].write(folder)
    wait_generation(running, 2)
    assert shown(running, trusted) == leaves[1].certificate.serial_number
    assert running.watcher(but=after) and shows("early") and shows("late")


def test_watcher_that_is_stopped_holds_up_nobody(start, setup, trusted, leaves, tmp_path):
    """The supervisor answers its watchdog, reloads, and stops; the next generation has its own watcher."""
    folder = leaves[0].write(setup.certs / "pair")
    manager = Manager(str(tmp_path / "notify"))
    running = start(setup.write(["example.com"]), expect=[NOTICED],
                    environment=manager.environment(WATCHDOG_USEC="1000000"))
    assert manager.next()["READY"] == "1"
    watcher = running.watcher()
    os.kill(watcher, signal.SIGSTOP)
    for _ in range(3):
        assert manager.next(but="nothing") == {"WATCHDOG": "1"}
    leaves[1].write(folder)
    assert running.reload()
    assert shown(running, trusted) == leaves[1].certificate.serial_number
    after = running.watcher(but=watcher)
    leaves[2].write(folder)
    wait_generation(running, 3)
    assert shown(running, trusted) == leaves[2].certificate.serial_number
    os.kill(running.watcher(but=after), signal.SIGSTOP)
    running.stop()
    manager.socket.close()
