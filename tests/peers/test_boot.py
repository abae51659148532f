"""A Debian machine that boots its own systemd: the package beside a running Apache, and the service in
each of the forms that config/systemd has a drop-in for. One machine is enough for all: each test says
by a fixture in which state it begins, and the fixture leads to that from any other."""

import contextlib
import functools
import json
import os
import re
import subprocess

import pytest

from support import booted, tree, wait

# Each look at the machine is a process or more, and others may keep this one busy.
until = functools.partial(wait.until, seconds=90, every=0.2)

UNITS = tree.ROOT / "config" / "systemd"
MANUAL = (tree.ROOT / "config" / "mta-sts-httpd.8").read_text()

SERVICE = "mta-sts-httpd.service"
SOCKET = "mta-sts-httpd.socket"
DOMAIN = "example.com"
HOST = "mta-sts." + DOMAIN
PATH = "/.well-known/mta-sts.txt"

pytestmark = pytest.mark.skipif(tree.instrumented(), reason="the package is built without sanitizers")

CONFIGURATION = """certificates: /etc/letsencrypt/live
state: /var/lib/mta-sts
policies: {default: {mode: testing, max_age: 1w, mx: [mail.example.com]}}
domains:
  example.com:
"""

BODY = "version: STSv1\nmode: testing\nmx: mail.example.com\nmax_age: 604800\n"

APACHE = """<VirtualHost *:443>
    ServerName www.example.com
    SSLEngine on
    SSLCertificateFile /etc/ssl/test.pem
</VirtualHost>
"""


@contextlib.contextmanager
def machine(folder):
    """A machine that has booted, or a skip with the reason: nothing of ours is on it yet."""
    with contextlib.ExitStack() as stack:
        try:
            made = stack.enter_context(contextlib.closing(booted.Machine(folder)))
            made.boot()
        except (booted.NotPossible, AssertionError) as reason:
            pytest.skip(f"no machine can be booted here: {reason}")
        yield made


@pytest.fixture(scope="module", name="debian")
def fixture_debian(request, tmp_path_factory, authority):
    """The machine, with Apache, and with the package in a file."""
    with machine(tmp_path_factory.mktemp("debian")) as made:
        package = request.getfixturevalue("package")  # not built for a machine that cannot be
        made.path("/root/package.deb").write_bytes(package.read_bytes())
        made.path("/root/root.pem").write_bytes(authority.root_file.read_bytes())
        leaf = authority.issue("www.example.com")
        leaf.write(made.path("/etc/ssl/apache"))
        leaf = authority.issue(HOST)
        leaf.write(made.path(f"/etc/letsencrypt/live/{HOST}"))
        made.shell("cat /etc/ssl/apache/* >/etc/ssl/test.pem; chmod -R go= /etc/letsencrypt")
        made.write("/etc/apache2/sites-available/www.conf", APACHE)
        made.shell("a2enmod ssl; a2ensite www; echo ServerName www.example.com >>/etc/apache2/apache2.conf;"
                   "systemctl restart apache2")
        yield made


def fetch(made, host, *more, port=443, path=PATH):
    """What curl gets inside: status and body."""
    done = made.run("curl", "--silent", "--show-error", "--cacert", "/root/root.pem", "--max-time", "30",
                    "--write-out", "\n%{http_code}", "--connect-to", f"::127.0.0.1:{port}", *more,
                    f"https://{host}{path}")
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def assert_apache_serves(made):
    assert fetch(made, "www.example.com", path="/")[0] == 200


def configure(made, text, **drop_ins):
    """The configuration and the drop-ins of the socket unit, as config/systemd has them, and no others."""
    made.write("/etc/mta-sts/mta-sts.yaml", text)
    made.shell("rm -rf /etc/systemd/system/mta-sts-httpd.*.d")
    for name, changes in drop_ins.items():
        recipe = (UNITS / f"{name}.conf").read_text()
        for old, new in changes:
            assert old in recipe
            recipe = recipe.replace(old, new)
        unit = SERVICE if name == "credentials" else SOCKET
        made.write(f"/etc/systemd/system/{unit}.d/{name}.conf", recipe)
    made.shell("systemctl daemon-reload")


def restart(made, name):
    """As the drop-in says it, and no more. The service is there when the command ends."""
    made.shell(re.search(r"(systemctl daemon-reload && .*)$", (UNITS / f"{name}.conf").read_text(), re.M)[1])
    until(lambda: made.state(SERVICE) == "active", "the service")


def is_installed(made):
    done = made.run("dpkg-query", "--show", "--showformat=${db:Status-Status}", "mta-sts-httpd")
    return done.stdout == "installed"


@pytest.fixture(name="bare")
def fixture_bare(debian):
    """Without the package, and port 443 is free."""
    if is_installed(debian):
        debian.do("dpkg", "--purge", "mta-sts-httpd")
    debian.shell("systemctl disable --now apache2; rm -rf /etc/systemd/system/mta-sts-httpd.*.d;"
                 "systemctl daemon-reload")
    return debian


@pytest.fixture(name="beside_apache")
def fixture_beside_apache(bare):
    """Without the package, and Apache serves on port 443."""
    bare.shell("systemctl enable --now apache2")
    return bare


@pytest.fixture(name="installed")
def fixture_installed(debian):
    """With the package, with nothing that a test before has configured; port 443 is free."""
    debian.shell("systemctl disable --now apache2")
    if not is_installed(debian):
        debian.do("dpkg", "--install", "/root/package.deb")
    debian.shell(f"systemctl disable --now {SOCKET} {SERVICE}; systemctl reset-failed")
    configure(debian, CONFIGURATION)
    return debian


@pytest.fixture(name="serving")
def fixture_serving(installed):
    """The same, enabled and started."""
    installed.shell(f"systemctl start {SERVICE} && systemctl enable {SERVICE}")
    assert fetch(installed, HOST) == (200, BODY)
    return installed


def test_package_takes_nothing_from_a_running_apache(beside_apache):
    assert_apache_serves(beside_apache)
    said = beside_apache.do("dpkg", "--install", "/root/package.deb")
    assert "created symlink" not in said.lower(), said
    for unit in (SERVICE, SOCKET):
        assert beside_apache.state(unit) == "inactive"
        assert beside_apache.run("systemctl", "is-enabled", unit).stdout.strip() == "disabled"
    beside_apache.reboot()
    assert_apache_serves(beside_apache)
    assert beside_apache.state(SOCKET) == "inactive"


def assert_refused(made, *patterns):
    """The start is refused with these words, and nothing restarts it for ever."""
    since = made.do("date", "+%Y-%m-%d %H:%M:%S.%6N").strip()
    made.run("systemctl", "reset-failed", SERVICE, SOCKET)
    done = made.run("systemctl", "restart", SOCKET, SERVICE)
    assert done.returncode != 0
    made.run("systemctl", "stop", SERVICE, SOCKET)
    log = made.journal(SERVICE, f"--since={since}")
    for pattern in patterns:
        assert re.search(pattern, log), log


def test_start_says_that_another_server_has_the_port(beside_apache):
    """Nothing is taken from it, now or at the next boot, when the manual is followed."""
    assert "systemctl start mta-sts-httpd && systemctl enable mta-sts-httpd" in MANUAL
    beside_apache.do("dpkg", "--install", "/root/package.deb")
    configure(beside_apache, CONFIGURATION)
    done = beside_apache.run("sh", "-c", "systemctl start mta-sts-httpd && systemctl enable mta-sts-httpd")
    assert done.returncode != 0
    # It is the process that systemd has started for the socket which says so.
    assert "Address already in use" in beside_apache.do("journalctl", "--no-pager", "--output=cat")
    assert beside_apache.run("systemctl", "is-enabled", SOCKET).stdout.strip() == "disabled"
    assert_apache_serves(beside_apache)


def test_service_is_started_reloaded_restarted_and_stopped(installed):
    installed.shell("mta-sts-httpd check")
    installed.shell("systemctl start mta-sts-httpd && systemctl enable mta-sts-httpd")
    assert fetch(installed, HOST) == (200, BODY)
    main = installed.do("systemctl", "show", "--property=MainPID", "--value", SERVICE)
    installed.write("/etc/mta-sts/mta-sts.yaml", CONFIGURATION.replace("mail.", "mx."))
    installed.shell("systemctl reload mta-sts-httpd")
    assert fetch(installed, HOST)[1] == BODY.replace("mail.", "mx."), "it is served when the command ends"
    assert installed.do("systemctl", "show", "--property=MainPID", "--value", SERVICE) == main
    installed.shell("systemctl restart mta-sts-httpd")
    assert fetch(installed, HOST)[0] == 200
    assert installed.path("/var/lib/mta-sts").exists()
    status = installed.do("systemctl", "status", "--no-pager", SERVICE)
    assert re.search(r'Status: "ready: generation 1, \d+ workers?, 1 domain, listening on \[::\]:443"', status)
    installed.shell("systemctl stop mta-sts-httpd.socket mta-sts-httpd")
    assert installed.run("curl", "https://127.0.0.1").returncode == 7
    assert installed.state(SERVICE) == "inactive"
    assert not os.path.lexists(installed.path("/run/mta-sts"))


def reload_of(made):
    """What it returns, and what it brought into the journal."""
    since = made.do("date", "+%Y-%m-%d %H:%M:%S.%6N").strip()
    done = made.run("systemctl", "reload", SERVICE)
    return done.returncode, made.journal(SERVICE, f"--since={since}")


def test_reload_tells_how_it_ended(serving):
    """systemctl waits for it, and fails with the reason in the journal. Status 3 is a success."""
    main = serving.do("systemctl", "show", "--property=MainPID", "--value", SERVICE)
    assert reload_of(serving)[0] == 0
    serving.write("/etc/mta-sts/mta-sts.yaml", CONFIGURATION.replace("policies:", "polices:"))
    status, log = reload_of(serving)
    assert status == 1
    assert re.search(r'mta-sts\.yaml:3:1: error: .*polices', log), log
    assert "reload refused" in log and "Reload failed" in log, log
    assert (serving.state(SERVICE), fetch(serving, HOST)) == ("active", (200, BODY))
    two = CONFIGURATION + "  example.org: {policy: default, mode: wrong}\n"
    serving.write("/etc/mta-sts/mta-sts.yaml", two.replace("mail.", "mx."))
    assert serving.run("mta-sts-httpd", "reload").returncode == 3
    status, log = reload_of(serving)
    assert status == 0, log
    assert fetch(serving, HOST)[1] == BODY.replace("mail.", "mx.")
    serving.write("/etc/mta-sts/mta-sts.yaml", CONFIGURATION)
    assert reload_of(serving)[0] == 0
    assert fetch(serving, HOST) == (200, BODY)
    assert serving.do("systemctl", "show", "--property=MainPID", "--value", SERVICE) == main
    assert serving.do("ls", "/run/mta-sts").split() == ["status"]
    serving.shell(f"systemctl stop {SOCKET} {SERVICE}")
    assert not os.path.lexists(serving.path("/run/mta-sts"))


def test_it_is_there_after_a_reboot(serving):
    serving.reboot()
    assert serving.state(SERVICE) == "active"
    assert fetch(serving, HOST)[0] == 200


def test_journal_knows_priorities(serving):
    """A refused reload is an error there, and what is routine is not."""
    serving.write("/etc/mta-sts/mta-sts.yaml", "domains: {example.com: {mode: wrong\n")
    serving.run("systemctl", "reload", "mta-sts-httpd")
    until(lambda: "reload refused" in serving.journal(SERVICE), "the refusal")
    assert fetch(serving, HOST)[0] == 200
    serving.write("/etc/mta-sts/mta-sts.yaml", CONFIGURATION)
    main = serving.do("systemctl", "show", "--property=MainPID", "--value", SERVICE).strip()
    lines = serving.do("journalctl", "--no-pager", "--output=json", f"_PID={main}").splitlines()
    entries = [json.loads(line) for line in lines]
    found = {entry["MESSAGE"]: int(entry["PRIORITY"]) for entry in entries}
    assert {level for text, level in found.items() if "ready: generation" in text} == {5}
    assert {level for text, level in found.items() if "error: " in text} == {3}
    assert not any(text.startswith("<") for text in found)


def test_upgrade_loses_no_connection(serving):
    """Clients come all the time while the package is installed again. The socket stays the same."""
    inode = serving.do("sh", "-c", "ss -ltnHe 'sport = :443' | grep -o 'ino:[0-9]*'")
    main = serving.do("systemctl", "show", "--property=MainPID", "--value", SERVICE)
    loop = ("while [ ! -e /tmp/enough ]; do curl --silent --show-error --cacert /root/root.pem --max-time 60 "
            f"--connect-to ::127.0.0.1: https://{HOST}{PATH} >/dev/null || exit 1; done")
    clients = [subprocess.Popen(serving.command("timeout", "300", "sh", "-c", loop), stderr=subprocess.PIPE)
               for _ in range(2)]
    serving.do("dpkg", "--install", "/root/package.deb")
    until(lambda: serving.do("systemctl", "show", "--property=MainPID", "--value", SERVICE) != main
          and serving.state(SERVICE) == "active", "the restart")
    serving.do("touch", "/tmp/enough")
    for client in clients:
        said = client.communicate(timeout=300)[1]
        assert client.returncode == 0, said
    assert serving.do("sh", "-c", "ss -ltnHe 'sport = :443' | grep -o 'ino:[0-9]*'") == inode


def test_watchdog_ends_a_supervisor_that_hangs(serving):
    """The limit of the unit is a minute; the test has less time."""
    serving.write(f"/etc/systemd/system/{SERVICE}.d/watchdog.conf", "[Service]\nWatchdogSec=2s\n")
    serving.shell("systemctl daemon-reload && systemctl restart mta-sts-httpd")
    main = serving.do("systemctl", "show", "--property=MainPID", "--value", SERVICE).strip()
    serving.do("kill", "-STOP", main)
    until(lambda: serving.do("systemctl", "show", "--property=MainPID", "--value", SERVICE).strip()
          not in (main, "0") and serving.state(SERVICE) == "active", "another supervisor")
    assert fetch(serving, HOST)[0] == 200
    assert "Watchdog timeout" in serving.do("journalctl", "--no-pager", f"--unit={SERVICE}")


# Enough that a load takes some time, and more memory than the service gets below.
MANY = "".join(f"  d{number}.example: {{mode: testing, max_age: 1d, mx: [mail.d{number}.example]}}\n"
               for number in range(100000))


def reload_refused(made, signal=None):
    """What the journal says of a reload that is refused, whose loader gets the signal."""
    catch = f"(while ! pkill -{signal} -x mta-sts-loader; do :; done) & " if signal else ""
    since = made.do("date", "+%s.%N").strip()
    assert made.run("sh", "-c", f"{catch}! systemctl reload {SERVICE}").returncode == 0
    return made.do("journalctl", "--no-pager", f"--unit={SERVICE}", f"--since=@{since}")


@pytest.mark.skipif(not tree.is_long(), reason=tree.LONG)
def test_loader_that_fails_costs_nothing(serving):
    """It crashes, hangs and has no memory: the service goes on as the same process."""
    serving.write(f"/etc/systemd/system/{SERVICE}.d/limits.conf",
                  "[Service]\nMemoryMax=64M\nWatchdogSec=10s\n")
    serving.shell("systemctl daemon-reload && systemctl restart mta-sts-httpd")
    main = serving.do("systemctl", "show", "--property=MainPID", "--value", SERVICE)
    serving.write("/etc/mta-sts/mta-sts.yaml", CONFIGURATION + MANY)
    assert "reload refused: the loader died: Segmentation fault" in reload_refused(serving, "SEGV")
    assert fetch(serving, HOST)[0] == 200
    assert "reload refused: the loader made no progress for 30 s" in reload_refused(serving, "STOP")
    assert fetch(serving, HOST)[0] == 200
    limit = serving.run("cat", f"/sys/fs/cgroup/system.slice/{SERVICE}/memory.max").stdout.strip()
    if limit == str(64 * 1024 * 1024):
        assert "reload refused: the loader " in reload_refused(serving)
    assert fetch(serving, HOST)[0] == 200
    serving.write("/etc/mta-sts/mta-sts.yaml", CONFIGURATION)
    serving.shell("systemctl reload mta-sts-httpd")
    assert fetch(serving, HOST)[0] == 200
    assert serving.do("systemctl", "show", "--property=MainPID", "--value", SERVICE) == main


def test_metrics_and_challenges_with_their_drop_ins(serving):
    text = CONFIGURATION + 'metrics: "127.0.0.1:9810"\n'
    text += 'acme: {http: "[::]:80", webroot: /var/lib/mta-sts/webroot}\nlisten: "[::]:443"\n'
    configure(serving, text, metrics=[], http=[])
    serving.shell("mta-sts-httpd check")
    restart(serving, "metrics")
    assert fetch(serving, HOST)[0] == 200
    assert "mta_sts" in serving.do("curl", "--silent", "--fail", "http://127.0.0.1:9810/metrics")
    assert serving.do("curl", "--silent", "--fail", "http://127.0.0.1:9810/health")
    serving.shell("mkdir -p /var/lib/mta-sts/webroot/.well-known/acme-challenge;"
                  "printf token.thumb >/var/lib/mta-sts/webroot/.well-known/acme-challenge/token")
    asked = ["curl", "--silent", "--fail", f"http://{HOST}/.well-known/acme-challenge/token", "--connect-to",
             "::127.0.0.1:80"]
    until(lambda: serving.run(*asked).stdout == "token.thumb", "the challenge")
    serving.shell("systemctl reload mta-sts-httpd; systemctl restart mta-sts-httpd")
    assert fetch(serving, HOST)[0] == 200


def test_proxy_in_front_with_its_drop_in(serving):
    text = CONFIGURATION + 'listen: {address: "127.0.0.1:8080", tls: false}\n'
    configure(serving, text.replace("certificates: /etc/letsencrypt/live\n", ""), proxy=[])
    restart(serving, "proxy")
    got = serving.do("curl", "--silent", "--fail", "--connect-to", "::127.0.0.1:8080", f"http://{HOST}{PATH}")
    assert got == BODY.replace("\n", "\r\n") or got == BODY
    assert serving.run("curl", "https://127.0.0.1").returncode == 7, "port 443 is the proxy's"
    text = CONFIGURATION + 'listen: {address: "127.0.0.1:8443", proxy_protocol: {from: 127.0.0.1}}\n'
    configure(serving, text, proxy=[("ListenStream=127.0.0.1:8080\n", ""), ("# ListenStream", "ListenStream")])
    restart(serving, "proxy")
    assert fetch(serving, HOST, "--haproxy-protocol", port=8443)[0] == 200


def test_keys_come_as_credentials(serving):
    text = CONFIGURATION.replace("/etc/letsencrypt/live", "/run/credentials/mta-sts-httpd.service")
    configure(serving, text, credentials=[])
    restart(serving, "credentials")
    assert fetch(serving, HOST)[0] == 200


def test_certificates_below_a_home_directory_are_seen(installed):
    installed.shell("rm -rf /root/.acme.sh; cp -r /etc/letsencrypt/live /root/.acme.sh;"
                    "chmod 700 /root /root/.acme.sh")
    configure(installed, CONFIGURATION.replace("/etc/letsencrypt/live", "/root/.acme.sh"))
    installed.shell("systemctl restart mta-sts-httpd")
    assert fetch(installed, HOST)[0] == 200
    installed.write(f"/etc/systemd/system/{SERVICE}.d/home.conf", "[Service]\nProtectHome=yes\n")
    installed.shell("systemctl daemon-reload; systemctl restart mta-sts-httpd")
    log = installed.journal(SERVICE)
    assert "/root/.acme.sh: Permission denied" in log or "/root/.acme.sh: No such file" in log, log
    assert "ProtectHome=read-only" in log, log
    configure(installed, CONFIGURATION + 'include: "/root/*.yaml"\n')
    installed.write(f"/etc/systemd/system/{SERVICE}.d/home.conf", "[Service]\nProtectHome=yes\n")
    installed.shell("systemctl daemon-reload; systemctl restart mta-sts-httpd")
    log = installed.journal(SERVICE)
    assert re.search(r"^/root: error: cannot be searched: .*\n.*why: .*\n.*fix: /root is hidden", log, re.M), log


@pytest.mark.parametrize(
    "text, drop_ins, patterns",
    [
        ('metrics: "127.0.0.1:9810"\n', [], [
            r"metrics: cannot listen on 127\.0\.0\.1:9810: .*the service manager has passed on \[::\]:443",
            r"fix: have systemd open it: \"systemctl edit mta-sts-httpd\.socket\".*ListenStream=127\.0\.0\.1:9810"]),
        ('listen: "[::]:8443"\n', [], [
            r"cannot listen on \[::\]:8443: .*the service manager has passed on \[::\]:443",
            r"passed on a socket for \[::\]:443, which is not configured: listen \[::\]:8443"]),
        ('acme: {http: "[::]:80", webroot: /var/www}\n', [], [r"http: cannot listen on \[::\]:80: "]),
        ('listen: {address: "127.0.0.1:8080", tls: false}\n', [], [r"cannot listen on 127\.0\.0\.1:8080: "]),
        ("", ["http"], [r"passed on a socket for \[::\]:80, which is not configured"]),
        ("acme: {http: systemd, webroot: /var/www}\n", ["http"], [r"would take the same sockets"]),
    ],
    ids=["metrics", "another port", "challenges", "a proxy", "a line too many", "systemd twice"],
)
def test_what_does_not_agree_is_refused(installed, text, drop_ins, patterns):
    configure(installed, CONFIGURATION + text, **{name: [] for name in drop_ins})
    assert_refused(installed, *patterns)


def test_reload_refuses_what_a_restart_would(serving):
    serving.write("/etc/mta-sts/mta-sts.yaml", CONFIGURATION + 'metrics: "127.0.0.1:9810"\n')
    assert serving.run("systemctl", "reload", "mta-sts-httpd").returncode == 1
    until(lambda: re.search(r"metrics: cannot listen on 127\.0\.0\.1:9810.*\n.*fix: .*\n(.*\n)*.*reload refused",
                            serving.journal(SERVICE)), "the refusal")
    assert fetch(serving, HOST)[0] == 200


ACME = (tree.ROOT / "config" / "acme" / "README.md").read_text()
DIRECTORY = "https://localhost:14000/dir"

PEBBLE = """
mkdir -p /root/pebble && cd /root/pebble
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.crt -days 9 -subj /CN=CA
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out csr.pem -subj /CN=localhost
echo subjectAltName=DNS:localhost >extensions
openssl x509 -req -in csr.pem -CA ca.crt -CAkey ca.key -CAcreateserial -days 9 -extfile extensions -out cert.pem
cp ca.crt /usr/local/share/ca-certificates/pebble.crt && update-ca-certificates
echo 127.0.0.1 localhost >/etc/hosts
systemd-run --unit=names pebble-challtestsrv -defaultIPv6 '' -defaultIPv4 127.0.0.1 -dns01 127.0.0.1:8053 \\
    -http01 '' -https01 '' -tlsalpn01 '' -management 127.0.0.1:8055
systemd-run --unit=pebble -E PEBBLE_VA_NOSLEEP=1 -E PEBBLE_WFE_NONCEREJECT=0 -E PEBBLE_AUTHZREUSE=0 \\
    pebble -config /root/pebble/pebble.json -dnsserver 127.0.0.1:8053 -strict
"""


@pytest.fixture(scope="module", name="authority_of_debian")
def fixture_authority_of_debian(debian):
    """An authority in the machine, which every client trusts, and to which every name is the machine."""
    if not tree.is_long():
        pytest.skip(tree.LONG)
    debian.write("/root/pebble/pebble.json", json.dumps({"pebble": {
        "listenAddress": "127.0.0.1:14000", "managementListenAddress": "127.0.0.1:15000",
        "certificate": "/root/pebble/cert.pem", "privateKey": "/root/pebble/key.pem", "httpPort": 80, "tlsPort": 443,
        "ocspResponderURL": "", "externalAccountBindingRequired": False}}))
    debian.shell(PEBBLE)
    until(lambda: debian.run("curl", "--fail", "--output", "/root/pebble/root.pem",
                             "https://localhost:15000/roots/0").returncode == 0, "pebble")
    return debian


@pytest.fixture(name="pebble")
def fixture_pebble(serving, authority_of_debian):
    """The machine with the service, the authority and the first block of config/acme; no certificate is there."""
    block = re.search(r"as root.*?\n\n((?:    .*\n)+)", ACME)[1]
    serving.shell(f"systemctl stop {SOCKET} {SERVICE}; mv /etc/letsencrypt /root/kept; rm -rf /etc/mta-sts/acme"
                  " /var/lib/dehydrated /var/lib/uacme /var/lib/lego /var/lib/mta-sts /var/lib/private/mta-sts")
    serving.write("/etc/letsencrypt/cli.ini", f"server = {DIRECTORY}\n")
    serving.shell(block)
    settings = serving.path("/etc/mta-sts/acme/dehydrated.conf")
    settings.write_text(settings.read_text() + f"CA={DIRECTORY}\n")
    assert authority_of_debian is serving
    serving.shell(f"systemctl start {SERVICE}")
    yield serving
    serving.shell("rm -rf /etc/letsencrypt /var/lib/lego /var/lib/uacme /var/lib/dehydrated"
                  " /var/lib/systemd/timers/stamp-mta-sts-*; mv /root/kept /etc/letsencrypt")


def acme_lines(client):
    """What config/acme/README.md has for the client, with pebble as the authority."""
    lines = [line.strip() for line in ACME.splitlines() if line.startswith(f"    {client} ")]
    assert lines
    option = {"uacme": f"uacme -a {DIRECTORY} ", "lego": f"lego --server {DIRECTORY} "}.get(client, f"{client} ")
    return [line.replace(f"{client} ", option, 1) for line in lines]


def assert_certified(made, host=HOST):
    got = ["curl", "--silent", "--cacert", "/root/pebble/root.pem", "--connect-to", "::127.0.0.1:", "--fail"]
    until(lambda: made.run(*got, f"https://{host}{PATH}").returncode == 0, f"a certificate of pebble for {host}")


@pytest.mark.parametrize("client, folder", [
    ("uacme", "/var/lib/uacme"), ("lego", "/var/lib/lego/certificates"), ("certbot", "/etc/letsencrypt/live")])
def test_acme_clients_by_http_01(pebble, client, folder):
    """Debian's, with the lines as they are written, on port 80 of the drop-in."""
    text = CONFIGURATION.replace("/etc/letsencrypt/live", folder)
    assert 'acme: {http: "[::]:80", webroot: /var/lib/mta-sts/webroot}' in ACME
    text += 'acme: {http: "[::]:80", webroot: /var/lib/mta-sts/webroot}\nlisten: "[::]:443"\n'
    configure(pebble, text, http=[])
    restart(pebble, "http")
    for line in acme_lines(client):
        pebble.shell(line)
    assert_certified(pebble)


def test_timer_renews_with_dehydrated(pebble):
    """TLS-ALPN-01: the lines of one host, and then the service of the timer for another."""
    text = CONFIGURATION.replace("/etc/letsencrypt/live", "/var/lib/dehydrated/certs")
    assert "`acme: {alpn: /var/lib/dehydrated/alpn-certs}`" in ACME
    text += "acme: {alpn: /var/lib/dehydrated/alpn-certs}\n"
    configure(pebble, text)
    pebble.shell(f"systemctl restart {SOCKET} {SERVICE}")
    for line in acme_lines("dehydrated"):
        pebble.shell(line)
    assert_certified(pebble)
    pebble.write("/etc/mta-sts/mta-sts.yaml", text.replace("domains:\n", "domains:\n  example.net:\n"))
    assert pebble.run("mta-sts-httpd", "reload").returncode == 3, "one has no certificate yet"
    block = re.search(r"After the lines above:\n\n((?:    .*\n)+)", ACME)[1]
    pebble.shell("cd /usr/share/doc/mta-sts-httpd/examples/acme\n" + block)
    assert "mta-sts-renew.timer" in pebble.do("systemctl", "list-timers", "--no-pager")
    pebble.shell("systemctl start mta-sts-renew.service")
    assert_certified(pebble, "mta-sts.example.net")
    pebble.shell("systemctl disable --now mta-sts-renew.timer; rm /etc/systemd/system/mta-sts-renew.*")


PAGE = (tree.ROOT / "config" / "README.md").read_text()


def page_lines(section):
    """The command lines below the heading."""
    text = PAGE[PAGE.index(f"## {section}\n"):]
    return [line.strip() for line in re.search(r"\n\n((?:    .*\n)+)", text)[1].splitlines()]


def run_page(made, section, edited=None):
    """Its lines in one shell, as a root's shell has sudo too; the editor is cp. What it printed."""
    if edited is not None:
        made.write("/root/edited.yaml", edited)
    lines = [re.sub(r"\s+#.*", "", line) for line in page_lines(section)]
    assert len(lines) <= 10
    lines[0] = lines[0].replace("./mta-sts-httpd_*.deb", "/root/package.deb")
    return made.shell("export EDITOR='cp /root/edited.yaml'\n" + "\n".join(lines))


def test_page_beside_a_web_server(beside_apache, authority):
    """Apache keeps the port and its sites, also after a reboot, and has the certificate."""
    made = beside_apache
    leaf = authority.issue(HOST)
    leaf.write(made.path("/etc/letsencrypt/live/mta-sts"))
    printed = run_page(made, "Beside a web server", CONFIGURATION.replace(
        "certificates: /etc/letsencrypt/live\n", 'listen: {address: "127.0.0.1:8080", tls: false}\n'))
    assert re.search(r'_mta-sts\.example\.com\.\tIN\tTXT\t"v=STSv1; id=\d+;"', printed), printed
    try:
        until(lambda: fetch(made, HOST)[0] == 200, "the policy by Apache")
        assert_apache_serves(made)
        made.reboot()
        assert fetch(made, HOST)[1].replace("\r", "") == BODY
        assert_apache_serves(made)
    finally:
        made.shell("a2dissite --purge mta-sts; rm -r /etc/apache2/sites-available/mta-sts.conf"
                   " /etc/letsencrypt/live/mta-sts /etc/systemd/system/mta-sts-httpd.*.d;"
                   f"systemctl daemon-reload; systemctl disable --now {SOCKET} {SERVICE}")


def test_page_of_a_file_a_customer(serving, authority):
    leaf = authority.issue("mta-sts.example.org")
    leaf.write(serving.path("/etc/letsencrypt/live/mta-sts.example.org"))
    serving.write("/etc/mta-sts/mta-sts.yaml", CONFIGURATION + "include: domains.d/*.yaml\n")
    serving.shell("systemctl reload mta-sts-httpd")
    try:
        printed = run_page(serving, "A file a customer")
        assert "example.org: served, id " in printed and "_mta-sts.example.org." in printed, printed
        assert fetch(serving, "mta-sts.example.org")[0] == 200
    finally:
        serving.shell("rm -rf /etc/mta-sts/domains.d/example.org.* /etc/letsencrypt/live/mta-sts.example.org")


def test_purge_leaves_nothing(serving):
    configure(serving, CONFIGURATION, metrics=[])
    serving.do("dpkg", "--purge", "mta-sts-httpd")
    for unit in (SERVICE, SOCKET):
        assert serving.state(unit) in ("inactive", "failed", "unknown")
    left = serving.do("find", "/", "-xdev", "(", "-name", "*mta-sts*", "-not", "-path", "/root/*", "-not", "-path",
                     "/etc/letsencrypt/*", ")").splitlines()
    drop_ins = f"/etc/systemd/system/{SOCKET}.d"
    assert left == [drop_ins], "the operator's own"
    assert serving.do("ls", drop_ins) == "metrics.conf\n"
    assert serving.run("curl", "https://127.0.0.1").returncode == 7


def test_readme_installs_on_a_new_machine(bare, program):
    """Its lines as they are, but for make, which runs where the compiler is; the editor is cp."""
    text = (tree.ROOT / "README.md").read_text()
    text = text[text.index("## Install\n"):text.index("## Configuration\n")].replace("\\\n", "")
    lines = [line.strip().split("  #")[0] for line in text.splitlines() if line.startswith("    ")]
    assert lines.pop(0).strip() == "make && sudo make install"

    def make(goal):
        done = subprocess.run(
            ["make", "-o", program, goal, f"PROGRAM={program}", f"DESTDIR={bare.path('/')}"],
            cwd=tree.ROOT, env={**os.environ, "MAKEFLAGS": ""}, capture_output=True, text=True, timeout=600,
            check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    make("install")
    foreground = [line for line in lines if line.strip().endswith("serve")]
    assert foreground
    for line in lines:
        if "sudoedit" in line:
            assert bare.path("/etc/mta-sts/mta-sts.yaml").is_file()
            bare.write("/root/edited.yaml", CONFIGURATION)
            bare.shell(f"EDITOR='cp /root/edited.yaml' {line}")
            assert bare.path("/etc/mta-sts/mta-sts.yaml").read_text() == CONFIGURATION
        elif line in foreground:
            serving = subprocess.Popen(bare.command("timeout", "--signal=INT", "300", "sh", "-euc", "exec " + line),
                                       stderr=subprocess.PIPE)
            until(lambda: bare.run("curl", "--insecure", "--silent", "--connect-to", "::127.0.0.1:",
                                     f"https://{HOST}{PATH}").returncode == 0, "the policy")
            bare.run("pkill", "-INT", "-o", "-x", "mta-sts-httpd")
            assert serving.wait(120) == 0, serving.stderr.read()
            serving.stderr.close()
        else:
            bare.shell(line)
    assert fetch(bare, HOST)[0] == 200
    bare.shell("systemctl disable --now mta-sts-httpd.socket mta-sts-httpd")
    make("uninstall")
    assert bare.run("sh", "-c", "command -v mta-sts-httpd").returncode != 0
