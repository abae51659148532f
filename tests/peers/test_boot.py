"""A Debian machine that boots its own systemd: the package beside a running Apache, and the service in
each of the forms that config/systemd has a drop-in for."""

import contextlib
import json
import os
import re
import subprocess

import pytest

from support import booted, tree
from support.wait import until

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
    """A machine that has booted, or a skip with the reason."""
    try:
        made = booted.Machine(folder)
    except booted.NotPossible as reason:
        pytest.skip(f"no machine can be booted here: {reason}")
    with contextlib.closing(made):
        try:
            made.boot()
        except booted.NotPossible as reason:
            pytest.skip(f"no machine can be booted here: {reason}")
        yield made


@pytest.fixture(scope="module", name="debian")
def fixture_debian(tmp_path_factory, authority, package):
    """One machine for all tests of this module, which build upon each other's end: first Apache."""
    with machine(tmp_path_factory.mktemp("debian")) as made:
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
    done = made.run("curl", "--silent", "--show-error", "--cacert", "/root/root.pem", "--max-time", "10",
                    "--write-out", "\n%{http_code}", "--connect-to", f"::127.0.0.1:{port}", *more,
                    f"https://{host}{path}")
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def assert_apache_serves(made):
    assert fetch(made, "www.example.com", path="/")[0] == 200


def test_package_takes_nothing_from_a_running_apache(debian):
    assert_apache_serves(debian)
    said = debian.do("dpkg", "--install", "/root/package.deb")
    assert "created symlink" not in said.lower(), said
    for unit in (SERVICE, SOCKET):
        assert debian.state(unit) == "inactive"
        assert debian.run("systemctl", "is-enabled", unit).stdout.strip() == "disabled"
    debian.reboot()
    assert_apache_serves(debian)
    assert debian.state(SOCKET) == "inactive"


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


def restart(made):
    """As the drop-ins say it."""
    made.shell("systemctl daemon-reload && systemctl restart mta-sts-httpd.socket "
               "&& systemctl restart mta-sts-httpd.service")


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


def test_start_says_that_another_server_has_the_port(debian):
    """Nothing is taken from it, now or at the next boot, when the manual is followed."""
    assert "systemctl start mta-sts-httpd && systemctl enable mta-sts-httpd" in MANUAL
    configure(debian, CONFIGURATION)
    done = debian.run("sh", "-c", "systemctl start mta-sts-httpd && systemctl enable mta-sts-httpd")
    assert done.returncode != 0
    assert "Address already in use" in debian.journal(SOCKET)
    assert debian.run("systemctl", "is-enabled", SOCKET).stdout.strip() == "disabled"
    assert_apache_serves(debian)


def test_service_is_started_reloaded_restarted_and_stopped(debian):
    debian.shell("systemctl disable --now apache2; mta-sts-httpd check")
    debian.shell("systemctl reset-failed; systemctl start mta-sts-httpd && systemctl enable mta-sts-httpd")
    assert fetch(debian, HOST) == (200, BODY)
    main = debian.do("systemctl", "show", "--property=MainPID", "--value", SERVICE)
    debian.write("/etc/mta-sts/mta-sts.yaml", CONFIGURATION.replace("mail.", "mx."))
    debian.shell("systemctl reload mta-sts-httpd")
    until(lambda: fetch(debian, HOST)[1] == BODY.replace("mail.", "mx."), "the new policy")
    assert debian.do("systemctl", "show", "--property=MainPID", "--value", SERVICE) == main
    debian.shell("systemctl restart mta-sts-httpd")
    assert fetch(debian, HOST)[0] == 200
    assert debian.path("/var/lib/mta-sts").exists()
    status = debian.do("systemctl", "status", "--no-pager", SERVICE)
    assert re.search(r'Status: "ready: generation 1, \d+ workers?, 1 domain, listening on \[::\]:443"', status)
    debian.shell("systemctl stop mta-sts-httpd.socket mta-sts-httpd")
    assert debian.run("curl", "https://127.0.0.1").returncode == 7
    assert debian.state(SERVICE) == "inactive"


def test_it_is_there_after_a_reboot(debian):
    debian.reboot()
    assert debian.state(SERVICE) == "active"
    assert fetch(debian, HOST)[0] == 200


def test_journal_knows_priorities(debian):
    """A refused reload is an error there, and what is routine is not."""
    debian.write("/etc/mta-sts/mta-sts.yaml", "domains: {example.com: {mode: wrong\n")
    debian.run("systemctl", "reload", "mta-sts-httpd")
    until(lambda: "reload refused" in debian.journal(SERVICE), "the refusal")
    assert fetch(debian, HOST)[0] == 200
    debian.write("/etc/mta-sts/mta-sts.yaml", CONFIGURATION)
    main = debian.do("systemctl", "show", "--property=MainPID", "--value", SERVICE).strip()
    lines = debian.do("journalctl", "--no-pager", "--output=json", f"_PID={main}").splitlines()
    entries = [json.loads(line) for line in lines]
    found = {entry["MESSAGE"]: int(entry["PRIORITY"]) for entry in entries}
    assert {level for text, level in found.items() if "ready: generation" in text} == {5}
    assert {level for text, level in found.items() if "error: " in text} == {3}
    assert not any(text.startswith("<") for text in found)


def test_upgrade_loses_no_connection(debian):
    """Clients come all the time while the package is installed again. The socket stays the same."""
    inode = debian.do("sh", "-c", "ss -ltnHe 'sport = :443' | grep -o 'ino:[0-9]*'")
    main = debian.do("systemctl", "show", "--property=MainPID", "--value", SERVICE)
    loop = ("while [ ! -e /tmp/enough ]; do curl --silent --show-error --cacert /root/root.pem --max-time 20 "
            f"--connect-to ::127.0.0.1: https://{HOST}{PATH} >/dev/null || exit 1; done")
    clients = [subprocess.Popen(debian.command("timeout", "60", "sh", "-c", loop), stderr=subprocess.PIPE)
               for _ in range(2)]
    debian.do("dpkg", "--install", "/root/package.deb")
    until(lambda: debian.do("systemctl", "show", "--property=MainPID", "--value", SERVICE) != main
          and debian.state(SERVICE) == "active", "the restart")
    debian.do("touch", "/tmp/enough")
    for client in clients:
        said = client.communicate(timeout=60)[1]
        assert client.returncode == 0, said
    assert debian.do("sh", "-c", "ss -ltnHe 'sport = :443' | grep -o 'ino:[0-9]*'") == inode


def test_watchdog_ends_a_supervisor_that_hangs(debian):
    """The limit of the unit is a minute; the test has less time."""
    debian.write(f"/etc/systemd/system/{SERVICE}.d/watchdog.conf", "[Service]\nWatchdogSec=2s\n")
    debian.shell("systemctl daemon-reload && systemctl restart mta-sts-httpd")
    main = debian.do("systemctl", "show", "--property=MainPID", "--value", SERVICE).strip()
    debian.do("kill", "-STOP", main)
    until(lambda: debian.do("systemctl", "show", "--property=MainPID", "--value", SERVICE).strip()
          not in (main, "0") and debian.state(SERVICE) == "active", "another supervisor", 60, every=0.2)
    assert fetch(debian, HOST)[0] == 200
    assert "Watchdog timeout" in debian.do("journalctl", "--no-pager", f"--unit={SERVICE}")
    debian.shell("rm -r /etc/systemd/system/mta-sts-httpd.service.d && systemctl daemon-reload")


def test_metrics_and_challenges_with_their_drop_ins(debian):
    text = CONFIGURATION + 'metrics: "127.0.0.1:9810"\n'
    text += 'acme: {http: "[::]:80", webroot: /var/lib/mta-sts/webroot}\nlisten: "[::]:443"\n'
    configure(debian, text, metrics=[], http=[])
    debian.shell("mta-sts-httpd check")
    restart(debian)
    assert fetch(debian, HOST)[0] == 200
    assert "mta_sts" in debian.do("curl", "--silent", "--fail", "http://127.0.0.1:9810/metrics")
    assert debian.do("curl", "--silent", "--fail", "http://127.0.0.1:9810/health")
    debian.shell("mkdir -p /var/lib/mta-sts/webroot/.well-known/acme-challenge;"
                 "printf token.thumb >/var/lib/mta-sts/webroot/.well-known/acme-challenge/token")
    asked = ["curl", "--silent", "--fail", f"http://{HOST}/.well-known/acme-challenge/token", "--connect-to",
             "::127.0.0.1:80"]
    until(lambda: debian.run(*asked).stdout == "token.thumb", "the challenge")
    debian.shell("systemctl reload mta-sts-httpd; systemctl restart mta-sts-httpd")
    assert fetch(debian, HOST)[0] == 200


def test_proxy_in_front_with_its_drop_in(debian):
    text = CONFIGURATION + 'listen: {address: "127.0.0.1:8080", tls: false}\n'
    configure(debian, text.replace("certificates: /etc/letsencrypt/live\n", ""), proxy=[])
    restart(debian)
    got = debian.do("curl", "--silent", "--fail", "--connect-to", "::127.0.0.1:8080", f"http://{HOST}{PATH}")
    assert got == BODY.replace("\n", "\r\n") or got == BODY
    assert debian.run("curl", "https://127.0.0.1").returncode == 7, "port 443 is the proxy's"
    text = CONFIGURATION + 'listen: {address: "127.0.0.1:8443", proxy_protocol: {from: 127.0.0.1}}\n'
    configure(debian, text, proxy=[("ListenStream=127.0.0.1:8080\n", ""), ("# ListenStream", "ListenStream")])
    restart(debian)
    assert fetch(debian, HOST, "--haproxy-protocol", port=8443)[0] == 200


def test_keys_come_as_credentials(debian):
    text = CONFIGURATION.replace("/etc/letsencrypt/live", "/run/credentials/mta-sts-httpd.service")
    configure(debian, text, credentials=[])
    restart(debian)
    assert fetch(debian, HOST)[0] == 200


def test_certificates_below_a_home_directory_are_seen(debian):
    debian.shell("cp -r /etc/letsencrypt/live /root/.acme.sh; chmod 700 /root /root/.acme.sh")
    configure(debian, CONFIGURATION.replace("/etc/letsencrypt/live", "/root/.acme.sh"))
    restart(debian)
    assert fetch(debian, HOST)[0] == 200
    debian.write(f"/etc/systemd/system/{SERVICE}.d/home.conf", "[Service]\nProtectHome=yes\n")
    debian.shell("systemctl daemon-reload; systemctl restart mta-sts-httpd")
    log = debian.journal(SERVICE)
    assert "/root/.acme.sh: Permission denied" in log or "/root/.acme.sh: No such file" in log, log
    assert "ProtectHome=read-only" in log, log
    debian.shell("rm -r /root/.acme.sh")


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
def test_what_does_not_agree_is_refused(debian, text, drop_ins, patterns):
    configure(debian, CONFIGURATION + text, **{name: [] for name in drop_ins})
    assert_refused(debian, *patterns)


def test_reload_refuses_what_a_restart_would(debian):
    configure(debian, CONFIGURATION)
    restart(debian)
    debian.write("/etc/mta-sts/mta-sts.yaml", CONFIGURATION + 'metrics: "127.0.0.1:9810"\n')
    debian.run("systemctl", "reload", "mta-sts-httpd")
    until(lambda: re.search(r"metrics: cannot listen on 127\.0\.0\.1:9810.*\n.*fix: .*\n(.*\n)*.*reload refused",
                            debian.journal(SERVICE)), "the refusal")
    assert fetch(debian, HOST)[0] == 200


def test_purge_leaves_nothing(debian):
    configure(debian, CONFIGURATION, metrics=[])
    debian.do("dpkg", "--purge", "mta-sts-httpd")
    for unit in (SERVICE, SOCKET):
        assert debian.state(unit) in ("inactive", "failed", "unknown")
    left = debian.do("find", "/", "-xdev", "(", "-name", "*mta-sts*", "-not", "-path", "/root/*", "-not", "-path",
                     "/etc/letsencrypt/*", ")")
    assert left == ""
    assert debian.run("curl", "https://127.0.0.1").returncode == 7


def test_readme_installs_on_a_new_machine(debian, program):
    """Its lines as they are, but for make, which runs where the compiler is, and the editor."""
    text = (tree.ROOT / "README.md").read_text()
    text = text[text.index("## Install\n"):text.index("## Configuration\n")]
    lines = [line.strip().split("  #")[0] for line in text.splitlines() if line.startswith("    ")]
    assert lines.pop(0).strip() == "make && sudo make install"

    def make(goal):
        done = subprocess.run(
            ["make", "-o", program, goal, f"PROGRAM={program}", f"DESTDIR={debian.path('/')}"],
            cwd=tree.ROOT, env={**os.environ, "MAKEFLAGS": ""}, capture_output=True, text=True, timeout=120,
            check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    make("install")
    foreground = [line for line in lines if line.strip().endswith("serve")]
    assert foreground
    for line in lines:
        if "sudoedit" in line:
            assert debian.path("/etc/mta-sts/mta-sts.yaml").is_file()
            debian.write("/etc/mta-sts/mta-sts.yaml", CONFIGURATION)
        elif line in foreground:
            serving = subprocess.Popen(debian.command("timeout", "--signal=INT", "60", "sh", "-euc", "exec " + line),
                                       stderr=subprocess.PIPE)
            until(lambda: debian.run("curl", "--insecure", "--silent", "--connect-to", "::127.0.0.1:",
                                     f"https://{HOST}{PATH}").returncode == 0, "the policy", 20)
            debian.run("pkill", "-INT", "-o", "-x", "mta-sts-httpd")
            assert serving.wait(30) == 0, serving.stderr.read()
            serving.stderr.close()
        else:
            debian.shell(line)
    assert fetch(debian, HOST)[0] == 200
    debian.shell("systemctl disable --now mta-sts-httpd.socket mta-sts-httpd")
    make("uninstall")
    assert debian.run("sh", "-c", "command -v mta-sts-httpd").returncode != 0
