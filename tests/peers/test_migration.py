"""The move away from nginx and from Apache, from end to end: ten domains as operators have them,
`probe` of the old server, `import`, our server, `probe` of ours.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from support import server
from support.authority import PEM
from support.server import Server
from support.wait import until

POLICY = "version: STSv1\r\nmode: enforce\r\nmx: mail.{domain}\r\nmax_age: 604800\r\n"


def crlf(text):
    return text


def with_lf(text):
    return text.replace("\r\n", "\n")


# label: what the file is, how it is served, and what `probe` says of the old server.
DOMAINS = {
    "sound": (crlf, "", []),
    "lf": (with_lf, "", ["lf"]),
    "blank": (lambda text: text + "\r\n", "", ["blank-line"]),
    "mark": (lambda text: "\ufeff" + text, "", ["byte-order-mark"]),
    "comment": (lambda text: "# MTA-STS\r\n" + text, "", ["comment"]),
    "upper": (lambda text: text.replace("enforce", "Enforce"), "", ["mode-case"]),
    "spaces": (lambda text: text.replace("enforce", "enforce "), "", ["trailing-space"]),
    "untyped": (crlf, "untyped", ["content-type"]),
    "chain": (crlf, "leaf only", ["certificate-incomplete"]),
    "renewed": (with_lf, "not reloaded", ["certificate-expired", "lf"]),
}

NGINX_TOP = """\
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    types {{ text/plain txt; }}
    client_body_temp_path {folder}/temp; proxy_temp_path {folder}/temp;
    fastcgi_temp_path {folder}/temp; uwsgi_temp_path {folder}/temp; scgi_temp_path {folder}/temp;
{hosts}}}
"""
NGINX_HOST = """\
    server {{
        listen 127.0.0.1:{port} ssl;
        server_name mta-sts.{domain};
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        location = /.well-known/mta-sts.txt {{ alias {file};{untyped} }}
    }}
"""
APACHE_TOP = """\
ServerRoot {folder}
PidFile {folder}/pid
DefaultRuntimeDir {folder}
ErrorLog {folder}/error.log
ServerName localhost
{modules}
{user}
Listen 127.0.0.1:{port}
TypesConfig /dev/null
AddType text/plain .txt
SSLSessionCache none
<Directory />
    Require all granted
</Directory>
{hosts}"""
APACHE_HOST = """\
<VirtualHost *:{port}>
    ServerName mta-sts.{domain}
    SSLEngine on
    SSLCertificateFile {certificate}
    SSLCertificateKeyFile {key}
    Alias /.well-known/mta-sts.txt {file}
{untyped}</VirtualHost>
"""


def nginx(folder, port, hosts):
    (folder / "temp").mkdir()
    text = "".join(
        NGINX_HOST.format(
            port=port, untyped=" types { } default_type text/html;" if how == "untyped" else "", **host
        )
        for how, host in hosts
    )
    (folder / "nginx.conf").write_text(NGINX_TOP.format(folder=folder, hosts=text))
    return ["nginx", "-p", folder, "-e", folder / "error.log", "-c", folder / "nginx.conf"]


def apache(folder, port, hosts):
    untyped = "    <Location />\n        ForceType text/html\n    </Location>\n"
    text = "".join(
        APACHE_HOST.format(port=port, untyped=untyped if how == "untyped" else "", **host)
        for how, host in hosts
    )
    modules = "\n".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so"
        for name in ("mpm_event", "authz_core", "alias", "mime", "ssl")
    )
    (folder / "apache2.conf").write_text(
        APACHE_TOP.format(
            folder=folder,
            port=port,
            modules=modules,
            user="User nobody\nGroup nogroup" if os.geteuid() == 0 else "",
            hosts=text,
        )
    )
    return ["apache2", "-DFOREGROUND", "-f", folder / "apache2.conf"]


def accepts(port):
    with contextlib.suppress(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        return True
    return False


@contextlib.contextmanager
def running(command, folder, port):
    path = f"{os.environ['PATH']}:/usr/sbin"
    process = subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "PATH": path},
        start_new_session=True,
    )
    try:
        # Apache opens its socket twice, and only then writes the file.
        until(
            lambda: process.poll() is not None or ((folder / "pid").exists() and accepts(port)),
            "the old server",
        )
        assert process.poll() is None, process.stderr.read().decode()
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)
        process.stderr.close()


def certify(folder, authority, domain, **options):
    """The folder with the four files of certbot."""
    leaf = authority.issue(f"mta-sts.{domain}", **options)
    place = leaf.write(folder / "live" / f"mta-sts.{domain}")
    (place / "cert.pem").write_bytes(leaf.leaf_pem())
    (place / "chain.pem").write_bytes(authority.intermediate.public_bytes(PEM))
    return place


def lay_out(folder, authority):
    """Files and certificates as operators have them, below a folder. How, and where, for each."""
    hosts = []
    for label, (change, how, _) in DOMAINS.items():
        domain = f"{label}.example"
        options = {"begin": -90, "end": -1} if how == "not reloaded" else {}
        place = certify(folder, authority, domain, **options)
        file = folder / "www" / domain / "mta-sts.txt"
        file.parent.mkdir(parents=True)
        file.write_text(change(POLICY.format(domain=domain)), newline="")
        chain = "cert.pem" if how == "leaf only" else "fullchain.pem"
        where = {"certificate": place / chain, "key": place / "privkey.pem", "file": file}
        hosts.append((how, {"domain": domain, **where}))
    return hosts


def codes(*arguments):
    """What `probe` finds of each of the domains."""
    names = [f"{label}.example" for label in DOMAINS]
    done = server.run("probe", "--json", *arguments, *names)
    assert done.stderr == b"", done.stderr.decode()
    listed = json.loads(done.stdout)
    found = {
        report["domain"].partition(".")[0]: [item["code"] for item in report["findings"]]
        for report in listed
    }
    levels = {item["level"] for report in listed for item in report["findings"]}
    assert done.returncode == (1 if "error" in levels else 0)
    return found


@pytest.fixture
def site():
    """A folder that everybody may enter, as the workers of the old server do."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        folder.chmod(0o755)
        yield folder


@pytest.mark.parametrize("make", [nginx, apache], ids=["nginx", "apache"])
def test_old_faults_are_named_and_gone(program, authority, site, make):
    del program
    hosts = lay_out(site, authority)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = make(site, port, hosts)
    trust = ["--ca", authority.root_file]
    with running(command, site, port):
        # Renewed behind the back of the old server, which nobody has told.
        certify(site, authority, "renewed.example")
        old = codes("--connect", f"127.0.0.1:{port}", *trust)
    assert old == {label: expected for label, (_, _, expected) in DOMAINS.items()}

    imported = server.run("import", f"--{make.__name__}", command[-1])
    assert imported.returncode == 0, imported.stderr.decode()
    config = site / "mta-sts.yaml"
    config.write_bytes(imported.stdout)
    checked = server.run("check", "-c", config)
    assert checked.returncode == 0, checked.stderr.decode()
    with Server.running(config, arguments=["-l", "127.0.0.1:0"]) as ours:
        new = codes("-c", config, "--connect", f"127.0.0.1:{ours.port}", *trust)
    assert new == {label: [] for label in DOMAINS}
