"""What each server is told: a function a server, which writes its configuration for a site.

Each has the least that does this job: one worker process, TLS 1.2 and 1.3, keep-alive, no tickets,
no session cache and no access log. A policy is a literal in the configuration where the server can
do that, otherwise a file.
"""

import json
import os

from support.setup import Setup

PATH = "/.well-known/mta-sts.txt"
ROOT = os.geteuid() == 0


def ours(site, folder, port, workers=1):
    policies = {name: policy.values for name, policy in site.policies.items()}
    prefix = len("mta-sts.")
    setup = Setup(folder, None)
    setup.write(
        {host[prefix:]: site.policy_of(host).name for host in site.hosts},
        policies=policies,
        listen=f"127.0.0.1:{port}",
        workers=workers,
        certificates=[str(site.folder)],
    )


def _nginx(folder, http, user="nobody nogroup"):
    (folder / "nginx.conf").write_text(
        f"""{f"user {user};" if ROOT else ""}
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log stderr;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    default_type text/plain;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server_names_hash_max_size 400000;
    server_names_hash_bucket_size 128;
    map_hash_max_size 4096;
    map_hash_bucket_size 128;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_tickets off;
    ssl_conf_command NumTickets 0;
{http}}}
"""
    )


def _nginx_text(policy):
    return '"' + policy.body.decode().replace("\r", "\\r").replace("\n", "\\n") + '"'


def _blocks(site):
    """For each certificate: it, a policy, and those of its names that have this policy."""
    for certificate in site.certificates:
        parts = {}
        for name in certificate.names:
            parts.setdefault(site.policy_of(name), []).append(name)
        for policy, names in parts.items():
            yield certificate, policy, names


def nginx(site, folder, port):
    """A server block for each certificate."""
    blocks = []
    for certificate, policy, names in _blocks(site):
        blocks.append(
            f"server {{ listen 127.0.0.1:{port} ssl; server_name {' '.join(names)};\n"
            f"ssl_certificate {certificate.chain}; ssl_certificate_key {certificate.key};\n"
            f"location = {PATH} {{ return 200 {_nginx_text(policy)}; }} }}\n"
        )
    _nginx(folder, "".join(blocks))


def nginx_by_name(site, folder, port):
    """One server block; the worker, which must be able to read every key, reads certificate and key
    from files at each handshake."""
    changed = f"{site.changed} {_nginx_text(site.policies['after'])};" if site.changed else ""
    _nginx(
        folder,
        f"""map $host $policy {{ default {_nginx_text(site.policies["before"])}; {changed} }}
server {{ listen 127.0.0.1:{port} ssl;
ssl_certificate {site.folder}/$ssl_server_name/tls.pem;
ssl_certificate_key {site.folder}/$ssl_server_name/tls.pem.key;
location = {PATH} {{ return 200 $policy; }} }}
""",
        user="root root",
    )


def apache(site, folder, port):
    """Policies are files. A thousand connections are kept alive by few threads."""
    modules = "".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"
        for name in ("mpm_event", "authz_core", "ssl")
    )
    hosts = []
    for certificate, policy, names in _blocks(site):
        alias = f"ServerAlias {' '.join(names[1:])}\n" if len(names) > 1 else ""
        hosts.append(
            f"<VirtualHost 127.0.0.1:{port}>\nServerName {names[0]}\n{alias}SSLEngine on\n"
            f"SSLCertificateFile {certificate.chain}\nSSLCertificateKeyFile {certificate.key}\n"
            f"DocumentRoot {policy.root}\n</VirtualHost>\n"
        )
    (folder / "apache.conf").write_text(
        f"""ServerRoot {folder}
PidFile {folder}/pid
DefaultRuntimeDir {folder}
ErrorLog {folder}/error.log
ServerName localhost
{modules}{"User nobody" if ROOT else ""}
{"Group nogroup" if ROOT else ""}
Listen 127.0.0.1:{port}
StartServers 1
ServerLimit 1
ThreadsPerChild 64
MaxRequestWorkers 64
AsyncRequestWorkerFactor 64
KeepAlive On
KeepAliveTimeout 60
SSLProtocol -all +TLSv1.2 +TLSv1.3
SSLSessionCache none
SSLSessionTickets off
SSLOpenSSLConfCmd NumTickets 0
<Directory />
Require all granted
</Directory>
{"".join(hosts)}"""
    )


def haproxy(site, folder, port):
    answers = ""
    if site.changed:
        after = site.policies["after"].file
        answers += (
            f"    http-request return status 200 content-type text/plain file {after}"
            f" if {{ path {PATH} }} {{ req.hdr(host) -i {site.changed} }}\n"
        )
    answers += (
        f"    http-request return status 200 content-type text/plain"
        f" file {site.policies['before'].file} if {{ path {PATH} }}\n"
    )
    chains = "".join(f"{certificate.chain}\n" for certificate in site.certificates)
    (folder / "crt-list").write_text(chains)
    (folder / "haproxy.cfg").write_text(
        f"""global
    nbthread 1
    maxconn 4096
    ssl-load-extra-files key
    ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets
    tune.ssl.cachesize 0
    stats socket {folder}/socket level admin expose-fd listeners
defaults
    mode http
    timeout client 60s
    timeout http-request 60s
    timeout http-keep-alive 60s
    timeout connect 5s
    timeout server 5s
frontend policies
    bind 127.0.0.1:{port} ssl crt-list {folder}/crt-list
{answers}"""
    )


def caddy(site, folder, port):
    def route(policy, **match):
        answer = {"handler": "static_response", "status_code": 200, "body": policy.body.decode()}
        answer["headers"] = {"Content-Type": ["text/plain"]}
        return {"match": [{"path": [PATH], **match}], "handle": [answer], "terminal": True}

    routes = [route(site.policies["before"])]
    if site.changed:
        routes.insert(0, route(site.policies["after"], host=[site.changed]))
    server = {
        "listen": [f"127.0.0.1:{port}"],
        "protocols": ["h1"],
        "automatic_https": {"disable": True},
        "tls_connection_policies": [{}],
        "routes": routes,
    }
    files = [{"certificate": str(c.chain), "key": str(c.key)} for c in site.certificates]
    tls = {
        "certificates": {"load_files": files},
        "cache": {"capacity": len(files) + 1000},
        "session_tickets": {"disabled": True},
    }
    config = {
        "admin": {"listen": f"unix/{folder}/admin", "config": {"persist": False}},
        "logging": {"logs": {"default": {"level": "ERROR"}}},
        "apps": {"http": {"servers": {"policies": server}}, "tls": tls},
    }
    (folder / "caddy.json").write_text(json.dumps(config))


def lighttpd(site, folder, port):
    """TLS by mbedTLS 2.28, which has no TLS 1.3. Policies are files."""
    first = site.certificates[0]
    # One host alone needs no condition.
    named = site.certificates if len(site.hosts) > 1 else ()
    hosts = "".join(
        f'$HTTP["host"] == "{name}" {{ ssl.pemfile = "{certificate.chain}"\n'
        f'ssl.privkey = "{certificate.key}"\n'
        f'server.document-root = "{site.policy_of(name).root}" }}\n'
        for certificate in named
        for name in certificate.names
    )
    (folder / "lighttpd.conf").write_text(
        f"""server.modules = ("mod_mbedtls")
server.bind = "127.0.0.1"
server.port = {port}
server.document-root = "{site.policies["before"].root}"
server.max-fds = 8192
server.max-connections = 4096
server.max-keep-alive-idle = 60
server.max-keep-alive-requests = 100
mimetype.assign = (".txt" => "text/plain")
ssl.engine = "enable"
ssl.pemfile = "{first.chain}"
ssl.privkey = "{first.key}"
ssl.openssl.ssl-conf-cmd = ("MinProtocol" => "TLSv1.2", "Options" => "-SessionTicket",
    "Curves" => "x25519:secp256r1")
{hosts}"""
    )


def h2o(site, folder, port):
    """Policies are files."""

    def listen(certificate):
        ssl = {
            "certificate-file": str(certificate.chain),
            "key-file": str(certificate.key),
            "minimum-version": "TLSv1.2",
            # Else it starts a program for each certificate, to ask its authority.
            "ocsp-update-interval": 0,
        }
        return {"host": "127.0.0.1", "port": port, "ssl": ssl}

    hosts = {
        f"{name}:{port}": {
            "listen": listen(certificate),
            "paths": {PATH: {"file.file": str(site.policy_of(name).file)}},
        }
        for certificate in site.certificates
        for name in certificate.names
    }
    config = {
        "num-threads": 1,
        "max-connections": 4096,
        "http1-request-timeout": 60,
        "ssl-session-resumption": {"mode": "off"},
        "hosts": hosts,
    }
    if ROOT:
        config["user"] = "nobody"
    # Every JSON text is YAML, and this parser reads it.
    (folder / "h2o.conf").write_text(json.dumps(config))
