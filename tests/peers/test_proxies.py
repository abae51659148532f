"""The recipes of config/proxy and config/mailcow with the real programs: each is used as it is, but
for ports, and for paths of certificates."""

import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess

import pytest
import yaml

from support import client, monitor, server, tree
from support.server import Server, free_port
from support.setup import Setup, body_of
from support.wait import until

PROXY = tree.ROOT / "config" / "proxy"
MAILCOW = tree.ROOT / "config" / "mailcow"
DOMAIN = "example.com"
HOST = "mta-sts." + DOMAIN
# Where the client is that the server must see through the proxy.
CLIENT = "127.0.0.77"
ROOT = os.geteuid() == 0


RECIPE = {"mode": "testing", "max_age": "1w", "mx": ["mail.example.com"]}
BODY = body_of(RECIPE)


class Ours:
    """The server behind the proxies, once for each configuration that is shipped for it."""

    def __init__(self, stack, program, setup):
        setup.certify(DOMAIN, "example.net")
        self.leaf = setup.certs / DOMAIN
        self.authority = setup.authority.root_file
        self._program = program
        self._stack = stack
        self._setup = setup
        text = (PROXY / "mta-sts.yaml").read_text()
        by_sni, plain = re.findall(r"^  - (\{.*\})$", text, re.M)
        assert "proxy_protocol" in by_sni and "tls: false" in plain, "the recipe has two listeners"
        self.by_sni = self._start("sni", text.replace(f"  - {plain}\n", ""), ":8443")
        self.plain = self._start("plain", text.replace(f"  - {by_sni}\n", ""), "127.0.0.1:8080")
        self.mailcow = self._start("mailcow", (MAILCOW / "mta-sts.yaml").read_text(), "[::]:8080")

    def _start(self, name, text, address):
        """One of the listeners is kept, as the recipe says."""
        port = free_port()
        assert text.count(address) == 1
        text = text.replace(address, f":{port}" if address[0] == ":" else f"127.0.0.3:{port}")
        text = text.replace("../../certs", str(self._setup.certs))
        config = self._setup.root / f"{name}.yaml"
        config.write_text(f"{text}workers: 1\nlog: {{access: on}}\nmetrics: {monitor.ADDRESS}\n"
                          + ("user: nobody\n" if ROOT else ""))
        running = self._stack.enter_context(
            Server.running(config, expect=[r'"GET /(\.well-known/mta-sts\.txt|index\.html)']))
        running.config = config
        return running


@pytest.fixture(scope="module", name="ours")
def fixture_ours(program, authority, tmp_path_factory):
    with contextlib.ExitStack() as stack:
        yield Ours(stack, program, Setup(tmp_path_factory.mktemp("ours"), authority))


class Behind:
    """The other web server, to which everything else goes."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(15)
        self.port = self.listener.getsockname()[1]

    def first_bytes(self):
        """Of the first connection with any: one without is that which looked for the proxy."""
        while True:
            sock, _ = self.listener.accept()
            with sock:
                if data := sock.recv(4096):
                    return data


@pytest.fixture(name="behind")
def fixture_behind():
    behind = Behind()
    yield behind
    behind.listener.close()


@contextlib.contextmanager
def running(command, port, folder):
    """The proxy, until it accepts connections."""
    process = subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin", "HOME": str(folder)},
        start_new_session=True,
    )

    def accepts():
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return True
        return process.poll() is not None

    try:
        until(accepts, "the proxy")
        assert process.poll() is None, process.stdout.read().decode()
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stdout.close()


def adapted(path, **ports):
    """The recipe with other ports; each must be in it."""
    text = path.read_text()
    for old, new in ports.items():
        pattern = old.removeprefix("port")
        assert f":{pattern}" in text or f" {pattern}" in text, (path, pattern)
        text = re.sub(rf"(?<=[: ]){pattern}\b", str(new), text)
    return text


def haproxy(folder, port, ours, behind):
    text = adapted(PROXY / "haproxy.cfg", port443=port, port8443=ours.by_sni.port, port9443=behind.port)
    (folder / "haproxy.cfg").write_text(text)
    return ["haproxy", "-db", "-f", folder / "haproxy.cfg"]


def with_nginx_paths(folder, text, inside="http"):
    """What nginx needs where it runs as anybody in a folder."""
    top = f"daemon off;\npid {folder}/pid;\nerror_log stderr;\n" + ("user root;\n" if ROOT else "")
    temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    paths = "".join(f"{name}_temp_path {folder}/{name};\n" for name in temporary)
    if inside == "http":
        text = f"events {{}}\nhttp {{\naccess_log off;\n{paths}{text}}}\n"
    (folder / "nginx.conf").write_text(top + text)
    return ["nginx", "-p", folder, "-e", "stderr", "-c", folder / "nginx.conf"]


def nginx_stream(folder, port, ours, behind):
    recipe = PROXY / "nginx-stream.conf"
    text = adapted(recipe, port8443=ours.by_sni.port, port9443=behind.port)
    return with_nginx_paths(folder, text.replace("[::]:443", f"[::]:{port}"), inside="stream")


def with_certificates(text, ours):
    found = re.findall(r"/etc/letsencrypt/live/mta-sts/\w+\.pem", text)
    assert found, "the recipe names certificates"
    return text.replace("/etc/letsencrypt/live/mta-sts", str(ours.leaf))


def nginx(folder, port, ours, behind):
    del behind
    text = adapted(PROXY / "nginx.conf", port8080=ours.plain.port)
    text = text.replace("127.0.0.1:", "127.0.0.3:").replace("[::]:443", f"[::]:{port}")
    return with_nginx_paths(folder, with_certificates(text, ours))


# What mailcow's nginx has in its server block itself, and where it includes ours.
MAILCOW_SERVER = """
server {{
    listen [::]:{port} ssl ipv6only=off;
    server_name mail.example.com autodiscover.* autoconfig.* mta-sts.*;
    ssl_certificate {leaf}/fullchain.pem;
    ssl_certificate_key {leaf}/privkey.pem;
    location ^~ /.well-known/mta-sts.txt {{ return 418; }}
    include {folder}/site.*.custom;
}}
"""


def mailcow(folder, port, ours, behind):
    del behind
    text = (MAILCOW / "site.mta-sts.custom").read_text()
    assert "http://mta-sts-httpd:8080;" in text
    assert "proxy_pass $" in text, "a name in it is looked up when nginx starts"
    text = text.replace("mta-sts-httpd:8080", f"127.0.0.3:{ours.mailcow.port}")
    (folder / "site.mta-sts.custom").write_text(text)
    block = MAILCOW_SERVER.format(port=port, leaf=ours.leaf, folder=folder)
    return with_nginx_paths(folder, block)


def apache(folder, port, ours, behind):
    del behind
    modules = ["mpm_event", "authz_core", "ssl", "proxy", "proxy_http"]
    load = "".join(f"LoadModule {m}_module /usr/lib/apache2/modules/mod_{m}.so\n" for m in modules)
    text = adapted(PROXY / "apache.conf", port8080=ours.plain.port).replace("127.0.0.1:", "127.0.0.3:")
    text = with_certificates(text, ours).replace("*:443", f"*:{port}")
    (folder / "apache.conf").write_text(
        f"ServerRoot {folder}\nPidFile {folder}/pid\nDefaultRuntimeDir {folder}\n"
        f"ErrorLog /dev/stderr\nServerName localhost\nListen 127.0.0.1:{port}\n{load}"
        + ("User nobody\nGroup nogroup\n" if ROOT else "")
        + text
    )
    return ["apache2", "-DFOREGROUND", "-f", folder / "apache.conf"]


def caddy(folder, port, ours, behind):
    del behind
    text = adapted(PROXY / "Caddyfile", port8080=ours.plain.port).replace("127.0.0.1:", "127.0.0.3:")
    own = f"\ttls {ours.leaf}/fullchain.pem {ours.leaf}/privkey.pem\n"
    text = text.replace("{\n", "{\n" + own, 1).replace(
        "mta-sts.example.com,", f"{HOST}:{port},"
    ).replace("mta-sts.example.net", f"mta-sts.example.net:{port}")
    options = f"{{\n\tadmin off\n\tauto_https off\n\tstorage file_system {folder}\n}}\n"
    (folder / "Caddyfile").write_text(options + text)
    return ["caddy", "run", "--config", folder / "Caddyfile", "--adapter", "caddyfile"]


PROXIES = {
    "haproxy": haproxy,
    "nginx stream": nginx_stream,
    "nginx": nginx,
    "mailcow": mailcow,
    "apache": apache,
    "caddy": caddy,
}
BY_SNI = ("haproxy", "nginx stream")


def fetch_from(source, port, context):
    with socket.socket() as plain:
        plain.settimeout(15)
        plain.bind((source, 0))
        plain.connect(("127.0.0.1", port))
        with context.wrap_socket(plain, server_hostname=HOST) as secure:
            secure.sendall(client.request(HOST, close=True))
            answer = b""
            while data := secure.recv(65536):
                answer += data
    return answer


class Proxy:
    """One that runs, and the server behind it."""

    def __init__(self, name, port, server_behind):
        self.name = name
        self.port = port
        self.ours = server_behind
        self.is_by_sni = name in BY_SNI


@pytest.fixture(params=PROXIES, name="proxy")
def fixture_proxy(request, ours, behind, tmp_path):
    port = free_port()
    command = PROXIES[request.param](tmp_path, port, ours, behind)
    with running(command, port, tmp_path):
        kept = "mailcow" if request.param == "mailcow" else "by_sni" if request.param in BY_SNI else "plain"
        yield Proxy(request.param, port, getattr(ours, kept))


def test_policy_comes_through(proxy, behind, trusted):
    since = proxy.ours.mark()
    answer = fetch_from(CLIENT, proxy.port, trusted)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), answer
    assert body == BODY
    seen = proxy.ours.wait_line(r"(\S+) \S+ \S+ \[.*\"GET /\.well-known/mta-sts\.txt", since=since)
    with client.Connection(proxy.port, HOST, trusted) as connection:
        other = connection.exchange(client.request(HOST, target="/index.html", close=True))
    assert other.status == 404, "no other path is served"
    if proxy.is_by_sni:
        assert CLIENT in seen[1], "the log has the client, not the proxy"
        with client.dial(proxy.port) as other:
            other.sendall(client_hello("www.example.com"))
            assert b"www.example.com" in behind.first_bytes()
    assert_job_is_finished(proxy, proxy.ours.config)


def assert_job_is_finished(proxy, config):
    """The record can be published, and nothing finds fault with the domain, whoever has its certificate."""

    def said(command, *operands):
        done = server.run(command, "-c", config, *operands)
        assert (done.returncode, done.stderr) == (0, b""), (command, done.stdout + done.stderr)
        return done.stdout.decode()

    records = said("dns", DOMAIN)
    assert re.search(rf'^_mta-sts\.{DOMAIN}\.\s.*\sTXT\s+"v=STSv1; id=\w+;"', records, re.M), records
    assert "withheld" not in records
    (row,) = json.loads(said("list", "--json", DOMAIN))
    assert (row["state"], row["proxied"]) == ("served", not proxy.is_by_sni)
    assert "healthy, serves the policy of" in said("health")
    assert "healthy, serves the policy of example.com" in said("health", DOMAIN)
    for target in ("/health", f"/health?domain={DOMAIN}"):
        response = monitor.ask(proxy.ours, target)
        assert (response.status, response.body) == (200, b"ok\n"), target


def client_hello(host):
    """The first bytes that a TLS client sends for the host."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    secure = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname=host)
    with contextlib.suppress(ssl.SSLWantReadError):
        secure.do_handshake()
    return outgoing.read()


def test_mailcow_is_up_without_the_container(tmp_path, ours, trusted):
    """Its nginx starts while the name of the container does not exist, and serves everything else."""
    port = free_port()
    block = MAILCOW_SERVER.format(port=port, leaf=ours.leaf, folder=tmp_path)
    block = block.replace("include", "location / { return 200 mailcow; }\n    include")
    (tmp_path / "site.mta-sts.custom").write_text((MAILCOW / "site.mta-sts.custom").read_text())
    with running(with_nginx_paths(tmp_path, block), port, tmp_path):
        with client.Connection(port, HOST, trusted) as connection:
            assert connection.exchange(client.request(HOST, target="/", close=True)).body == b"mailcow"


def test_recipes_without_a_program_here_are_sound():
    """Traefik and Docker are in no Debian package: their files are read, no more."""
    traefik = yaml.safe_load((PROXY / "traefik.yaml").read_text())
    assert traefik["tcp"]["services"]["mta-sts"]["loadBalancer"]["proxyProtocol"] == {"version": 2}
    rule = traefik["tcp"]["routers"]["mta-sts"]["rule"]
    assert re.match(re.search(r"`(.*)`", rule)[1], HOST)
    compose = yaml.safe_load((MAILCOW / "docker-compose.override.yml").read_text())
    service = compose["services"]["mta-sts-httpd"]
    assert service["pull_policy"] == "never", "the image is in no registry"
    assert compose["services"]["nginx-mailcow"]["depends_on"] == ["mta-sts-httpd"]


@pytest.mark.parametrize("recipe", [PROXY / "mta-sts.yaml", MAILCOW / "mta-sts.yaml"], ids=str)
def test_configurations_are_sound(recipe):
    done = server.run("check", "-c", recipe)
    assert done.returncode == 0, done.stderr.decode()
