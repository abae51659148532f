"""The web servers that people move from, each with a configuration that a test writes: nginx, Apache,
Caddy, lighttpd and HAProxy, as Debian has them."""

import contextlib
import os
import signal
import socket
import subprocess

from .wait import until

ROOT = os.geteuid() == 0

NGINX = """\
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
    include {folder}/sites/*.conf;
}}
"""
APACHE = """\
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
IncludeOptional sites/*.conf
"""
MODULES = (
    "mpm_event authn_core authn_file authz_core authz_user auth_basic alias dir macro mime proxy "
    "proxy_http rewrite ssl"
).split()


def nginx(folder, port):
    del port
    (folder / "temp").mkdir()
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder))
    return ["nginx", "-p", folder, "-e", folder / "error.log", "-c", folder / "nginx.conf"]


def apache(folder, port):
    modules = "\n".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in MODULES
    )
    user = "User nobody\nGroup nogroup" if ROOT else ""
    text = APACHE.format(folder=folder, port=port, modules=modules, user=user)
    (folder / "apache2.conf").write_text(text)
    return ["apache2", "-DFOREGROUND", "-f", folder / "apache2.conf"]


def caddy(folder, port):
    del port
    (folder / "Caddyfile").write_text("{\n  admin off\n  auto_https off\n}\nimport sites/*.conf\n")
    return ["caddy", "run", "--config", folder / "Caddyfile", "--adapter", "caddyfile"]


def lighttpd(folder, port):
    text = f'server.document-root = "{folder}"\nserver.port = {port}\nserver.bind = "127.0.0.1"\n'
    text += 'server.modules = ( "mod_alias", "mod_openssl" )\nmimetype.assign = ( ".txt" => "text/plain" )\n'
    (folder / "lighttpd.conf").write_text(text + f'include "{folder}/sites/*.conf"\n')
    return ["lighttpd", "-D", "-f", folder / "lighttpd.conf"]


def haproxy(folder, port):
    del port
    return ["haproxy", "-db", *(word for site in (folder / "sites").iterdir() for word in ("-f", site))]


def accepts(port):
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        return True
    return False


@contextlib.contextmanager
def running(make, folder, port):
    """The server whose sites are in a folder of that name, until it accepts connections."""
    command = make(folder, port)
    log = folder / "output"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin", "HOME": str(folder)},
            start_new_session=True,
        )
    try:
        # Apache opens its socket twice, and only then writes the file.
        wanted = folder / "pid" if make in (nginx, apache) else folder
        until(
            lambda: process.poll() is not None or (wanted.exists() and accepts(port)),
            f"the old server, {make.__name__}",
            seconds=30,
        )
        assert process.poll() is None, log.read_text(errors="replace")
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
