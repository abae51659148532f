"""`import` against the real web servers: what it writes for each host is what curl gets, a host
without a policy is named with the reason, and no host is lost. The fragments are of the kinds that
guides, bug reports and questions show.
"""

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from support import old_servers, server
from support.old_servers import apache, caddy, haproxy, lighttpd, nginx
from support.server import Server, free_port

PATH = "/.well-known/mta-sts.txt"


def policy(mx):
    return f"version: STSv1\nmode: enforce\nmx: {mx}\nmax_age: 604800\n"


def literal(mx, end="\\n"):
    return policy(mx).replace("\n", end)


CRLF = literal("two.example.com", "\\r\\n")


# The files below the folder of every server: of several policies, the mx tells them apart.
FILES = {
    "right" + PATH: policy("mail.example.com"),
    "wrong" + PATH: policy("wrong.example.com"),
    "empty/index.html": "nothing\n",
    "one.txt": policy("one.example.com"),
    "two.txt": policy("two.example.com"),
    "rewritten" + PATH: policy("wrong.example.com"),
    "rewritten/policy.txt": policy("two.example.com"),
    "rewritten/.htaccess": "RewriteEngine On\nRewriteRule ^\\.well-known/mta-sts\\.txt$ /policy.txt [L]\n",
    "moved" + PATH: policy("wrong.example.com"),
    "moved/.htaccess": "Redirect 301 / https://www.example.com/\n",
}

# Of each fragment: the text with @TLS@ where the server listens, @WWW@ for the folder of the files,
# @PORT@ and @OTHER@ (a port where nobody asks); and of each domain the mx, or the status for a host
# that has no policy.
NGINX = {
    "named-location": (
        "server { @TLS@ server_name mta-sts.a1.example; root @WWW@/empty;"
        " location / { try_files $uri @policy; } location @policy { root @WWW@/right; } }",
        {"a1": "mail.example.com"},
    ),
    "named-literal": (
        "server { @TLS@ server_name mta-sts.a2.example;"
        " location ^~ /.well-known/mta-sts.txt { try_files $uri @policy; }"
        f' location @policy {{ return 200 "{literal("two.example.com")}"; }} }}',
        {"a2": "two.example.com"},
    ),
    "fallback-path": (
        "server { @TLS@ server_name mta-sts.a3.example; root @WWW@;"
        " location = /.well-known/mta-sts.txt { try_files /nothing /one.txt; } location = /one.txt { } }",
        {"a3": "one.example.com"},
    ),
    "denied": (
        "server { @TLS@ server_name mta-sts.b1.example; root @WWW@/right;"
        " location /.well-known/ { default_type text/plain; } location ~ /\\. { deny all; } }\n"
        "server { @TLS@ server_name mta-sts.b2.example; root @WWW@/right;"
        f" location '{PATH}' {{ alias @WWW@/right{PATH}; }} location ~ ^/(.+/|)\\. {{ deny all; }} }}\n"
        "server { @TLS@ server_name mta-sts.b3.example; root @WWW@/right;"
        " location ^~ /.well-known/ { allow all; } location ~ /\\. { deny all; } }\n"
        "server { @TLS@ server_name mta-sts.b4.example; root @WWW@/right;"
        " auth_basic staff; auth_basic_user_file @WWW@/one.txt; }",
        {"b1": 403, "b2": 403, "b3": "mail.example.com", "b4": 401},
    ),
    "expressions": (
        "server { @TLS@ server_name mta-sts.c1.example; root @WWW@/wrong;"
        " location ~ ^/\\.well-known/(?:mta-sts|security)\\.txt$ { root @WWW@/right; } }\n"
        "server { @TLS@ server_name mta-sts.c2.example; root @WWW@/right;"
        " location ~ ^/(?:.|data|README) { deny all; } }\n"
        "server { @TLS@ server_name mta-sts.c3.example; root @WWW@/wrong;"
        ' location ~ "^/.well-known/\\D+$" { root @WWW@/right; } }\n'
        "server { @TLS@ server_name mta-sts.c4.example; root @WWW@/right;"
        " location ~ /\\.(?!well-known) { deny all; } }",
        {"c1": "mail.example.com", "c2": 403, "c3": "mail.example.com", "c4": "mail.example.com"},
    ),
    "two-ports": (
        "server { listen 127.0.0.1:@OTHER@; server_name mta-sts.d1.example;"
        f' return 200 "{literal("wrong.example.com")}"; }}\n'
        f'server {{ @TLS@ server_name mta-sts.d1.example; return 200 "{literal("one.example.com")}"; }}',
        {"d1": "one.example.com"},
    ),
    "variables": (
        "map $ssl_server_name $sts { default one; mta-sts.e2.example two; }\n"
        "server { @TLS@ server_name mta-sts.e1.example mta-sts.e2.example;"
        f" location = {PATH} {{ alias @WWW@/$sts.txt; }} }}\n"
        "server { @TLS@ server_name mta-sts.e3.example mta-sts.e4.example;"
        f' location = {PATH} {{ return 200 "{literal("$server_name")}"; }} }}\n'
        "server { @TLS@ server_name mta-sts.e5.example; set $base @WWW@; root $base/right; }\n"
        f'server {{ @TLS@ server_name mta-sts.e6.example; set $policy "{literal("two.example.com")}";'
        f" location = {PATH} {{ return 200 $policy; }} }}",
        {
            "e1": "one.example.com",
            "e2": "two.example.com",
            "e3": "mta-sts.e3.example",
            "e4": "mta-sts.e3.example",
            "e5": "mail.example.com",
            "e6": "two.example.com",
        },
    ),
    "punctuation": (
        "# a brace } and quotes \" ' in a comment\n"
        "log_format sts '$remote_addr \"$request\" ' # one \" more\n    '$status {';\n"
        "server {\n    @TLS@\n    server_name mta-sts.f1.example; # } is it the end? no\n"
        "    root @WWW@/right;\n    location ~ ^/x\\{1,2\\}$ { return 204; }\n"
        '    location /y { return 200 "a } b ; c # d"; }\n    add_header X-A "it\'s; }" always;\n}\n'
        "server {\n    @TLS@\n    server_name mta-sts.f2.example;\n"
        f'    location = {PATH} {{\n        return 200 "version: STSv1\n            mode: enforce\n'
        "            mx: mail.example.net\n            max_age: 604800\n        \";\n    }\n}\n"
        'server { @TLS@ server_name "mta-sts.f3.example"; return 200'
        f' "{CRLF}"; }}',
        {"f1": "mail.example.com", "f2": "mail.example.net", "f3": "two.example.com"},
    ),
    "exact-first": (
        "server { @TLS@ server_name mta-sts.g1.example\n    mta-sts.g2.example;"
        " location ~ /\\.(?!well-known).* { deny all; } location ~ /\\.well-known/ { root @WWW@/wrong; }"
        f" location = {PATH} {{ alias @WWW@/one.txt; }} }}",
        {"g1": "one.example.com", "g2": "one.example.com"},
    ),
    "answers": (
        "server { @TLS@ server_name mta-sts.h1.example; return 301 https://www.example.com/p; }\n"
        "server { @TLS@ server_name mta-sts.h2.example; root @WWW@/empty; }\n"
        "server { @TLS@ server_name mta-sts.h3.example; return 200 '<html>not here</html>'; }\n"
        "server { @TLS@ server_name mta-sts.h4.example; return 444; }",
        {"h1": 301, "h2": 404, "h3": 200, "h4": 0},
    ),
}
APACHE = {
    "proxy-first": (
        "<VirtualHost *:@PORT@>\n@TLS@\nServerName mta-sts.a1.example\nDocumentRoot @WWW@/right\n"
        "ProxyPassMatch ^/(.*)$ http://127.0.0.1:@OTHER@/$1\n</VirtualHost>\n"
        "<VirtualHost *:@PORT@>\n@TLS@\nServerName mta-sts.a2.example\n"
        f"Alias {PATH} @WWW@/one.txt\nProxyPass / http://127.0.0.1:@OTHER@/\n</VirtualHost>\n"
        "<VirtualHost *:@PORT@>\n@TLS@\nServerName mta-sts.a3.example\nDocumentRoot @WWW@/right\n"
        '<Location />\nSetHandler "proxy:http://127.0.0.1:@OTHER@/"\n</Location>\n</VirtualHost>\n'
        "<VirtualHost *:@PORT@>\n@TLS@\nServerName mta-sts.a4.example\nDocumentRoot @WWW@/right\n"
        "ProxyPassMatch ^/app/(.*)$ http://127.0.0.1:@OTHER@/$1\n</VirtualHost>",
        {"a1": 503, "a2": 503, "a3": 503, "a4": "mail.example.com"},
    ),
    "macro": (
        f"<Macro Policy $file>\nAlias {PATH} $file\n</Macro>\n"
        "<VirtualHost *:@PORT@>\n@TLS@\nServerName mta-sts.b1.example\nDocumentRoot @WWW@/right\n"
        "Use Policy @WWW@/two.txt\n</VirtualHost>",
        {"b1": "two.example.com"},
    ),
    "htaccess": (
        "<VirtualHost *:@PORT@>\n@TLS@\nServerName mta-sts.c1.example\nDocumentRoot @WWW@/rewritten\n"
        "<Directory @WWW@/rewritten>\nAllowOverride All\n</Directory>\n</VirtualHost>\n"
        "<VirtualHost *:@PORT@>\n@TLS@\nServerName mta-sts.c2.example\nDocumentRoot @WWW@/moved\n"
        "<Directory @WWW@/moved>\nAllowOverride All\n</Directory>\n</VirtualHost>",
        {"c1": "two.example.com", "c2": 301},
    ),
    "access": (
        "<VirtualHost *:@PORT@>\n@TLS@\nServerName mta-sts.d1.example\nDocumentRoot @WWW@/right\n"
        "<Directory @WWW@/right>\nRequire all denied\n</Directory>\n</VirtualHost>\n"
        "<VirtualHost *:@PORT@>\n@TLS@\nServerName mta-sts.d2.example\nDocumentRoot @WWW@/right\n"
        '<DirectoryMatch "/\\.">\nRequire all denied\n</DirectoryMatch>\n</VirtualHost>\n'
        "<VirtualHost *:@PORT@>\n@TLS@\nServerName mta-sts.d3.example\nDocumentRoot @WWW@/right\n"
        "<Location />\nAuthType Basic\nAuthName staff\nAuthBasicProvider file\n"
        "AuthUserFile @WWW@/one.txt\nRequire valid-user\n</Location>\n</VirtualHost>\n"
        "<VirtualHost *:@PORT@>\n@TLS@\nServerName mta-sts.d4.example\nDocumentRoot @WWW@/moved\n"
        "<Directory @WWW@/moved>\nAllowOverride None\n</Directory>\n</VirtualHost>",
        {"d1": 403, "d2": 403, "d3": 401, "d4": "wrong.example.com"},
    ),
    "last-counts": (
        "<VirtualHost *:@PORT@>\n@TLS@\nServerName mta-sts.e1.example\nDocumentRoot @WWW@/wrong\n"
        "DocumentRoot @WWW@/right\n</VirtualHost>\n"
        "<VirtualHost *:@PORT@>\n@TLS@\nServerName mta-sts.e2.example\nServerName mta-sts.e3.example\n"
        "DocumentRoot @WWW@/right\nServerAlias www.e3.example \\\n    mta-sts.e4.example\n</VirtualHost>",
        {"e1": "mail.example.com", "e2": 403, "e3": "mail.example.com", "e4": "mail.example.com"},
    ),
    "two-ports": (
        "Listen 127.0.0.1:@OTHER@\n<VirtualHost *:@OTHER@>\nServerName mta-sts.f1.example\n"
        f"Alias {PATH} @WWW@/two.txt\n</VirtualHost>\n<VirtualHost *:@PORT@>\n@TLS@\n"
        f"ServerName mta-sts.f1.example\nAlias {PATH} @WWW@/one.txt\n</VirtualHost>",
        {"f1": "one.example.com"},
    ),
    "rewrite": (
        "<IfModule mod_ssl.c>\n<VirtualHost *:@PORT@ [2001:db8::1]:@PORT@>\n@TLS@\n"
        "    ServerName mta-sts.g1.example\n    DocumentRoot @WWW@/right\n"
        f"    ErrorDocument 403 \"Only '{PATH}' is here, <a href=\\\"https://www.example.com\\\">go</a>.\"\n"
        "    RewriteEngine On\n    RewriteOptions IgnoreInherit\n"
        "    RewriteRule !^/\\.well-known/mta-sts\\.txt - [L,R=403]\n</VirtualHost>\n</IfModule>",
        {"g1": "mail.example.com"},
    ),
}
CADDY = {
    "sites": (
        "mta-sts.a1.example:@PORT@, mta-sts.a2.example:@PORT@ {\n\t@TLS@\n\troot * @WWW@/right\n"
        "\tfile_server\n}\nhttps://mta-sts.a3.example:@PORT@ {\n\t@TLS@\n"
        f"\thandle {PATH} {{\n\t\theader Content-Type text/plain\n\t\trespond `{policy('two.example.com')}`\n"
        "\t}\n\trespond 404\n}\nmta-sts.a4.example:@PORT@ {\n\t@TLS@\n"
        "\tredir https://www.example.com{uri}\n}",
        {"a1": "mail.example.com", "a2": "mail.example.com", "a3": "two.example.com", "a4": 302},
    ),
}
LIGHTTPD = {
    "hosts": (
        "ssl.engine = \"enable\"\n@TLS@\n"
        f'$HTTP["host"] == "mta-sts.a1.example" {{\n  alias.url = ( "{PATH}" => "@WWW@/one.txt" )\n}}\n'
        'else $HTTP["host"] =~ "^(mta-sts\\.a2\\.example|mta-sts\\.a3\\.example)$" {\n'
        '  server.document-root = "@WWW@/right"\n}\n'
        '$HTTP["host"] == "mta-sts.a4.example" { server.document-root = "@WWW@/empty" }',
        {"a1": "one.example.com", "a2": "mail.example.com", "a3": "mail.example.com", "a4": 404},
    ),
}
HAPROXY = {
    "static": (
        "defaults\n  mode http\n  timeout connect 5s\n  timeout client 5s\n  timeout server 5s\n"
        "frontend https\n  bind 127.0.0.1:@PORT@ ssl @TLS@\n  acl sts hdr(host) -i mta-sts.a1.example\n"
        f"  http-request return status 200 content-type text/plain file @WWW@/one.txt if sts {{ path {PATH} }}\n"
        f"  http-request return status 200 content-type text/plain file @WWW@/two.txt"
        f" if {{ hdr(host) -i mta-sts.a2.example }} {{ path {PATH} }}\n"
        "  http-request deny deny_status 404 if { hdr(host) mta-sts.a3.example }\n"
        "  http-request deny",
        {"a1": "one.example.com", "a2": "two.example.com", "a3": 404},
    ),
}
TLS = {
    nginx: "listen 127.0.0.1:@PORT@ ssl; ssl_certificate @CHAIN@; ssl_certificate_key @KEY@;",
    apache: "SSLEngine on\nSSLCertificateFile @CHAIN@\nSSLCertificateKeyFile @KEY@",
    caddy: "tls @CHAIN@ @KEY@",
    lighttpd: 'ssl.pemfile = "@CHAIN@"\nssl.privkey = "@KEY@"',
    haproxy: "crt @BOTH@",
}
SERVERS = {nginx: NGINX, apache: APACHE, caddy: CADDY, lighttpd: LIGHTTPD, haproxy: HAPROXY}


class Old:
    """An old server with all fragments, and a port."""

    def __init__(self, make, folder, authority, fragments):
        self.make = make
        self.folder = folder
        self.fragments = fragments
        self.port = free_port()
        self.sites = folder / "sites"
        self.root_file = authority.root_file
        www = folder / "www"
        for name, text in FILES.items():
            (www / name).parent.mkdir(parents=True, exist_ok=True)
            (www / name).write_text(text)
        self.domains = {
            f"{label}.example": mx for _, hosts in fragments.values() for label, mx in hosts.items()
        }
        # The names of the certificate must not be what the hosts are found by.
        leaf = authority.issue(*[f"*.{domain}" for domain in self.domains])
        self.live = leaf.write(folder / "certs")
        self.both = leaf.write_combined(folder / "both.pem")
        self.sites.mkdir()
        for name, (text, _) in fragments.items():
            (self.sites / f"{name}.conf").write_text(self.fill(text) + "\n")

    def fill(self, text):
        for name, value in (
            ("@TLS@", TLS[self.make]),
            ("@OTHER@", free_port()),
            ("@PORT@", self.port),
            ("@WWW@", self.folder / "www"),
            ("@CHAIN@", self.live / "fullchain.pem"),
            ("@KEY@", self.live / "privkey.pem"),
            ("@BOTH@", self.both),
        ):
            text = text.replace(name, str(value))
        return text

    def connect(self):
        return f"127.0.0.1:{self.port}"

    def fetch(self, domain):
        """The status and the body that curl gets."""
        host = f"mta-sts.{domain}"
        done = subprocess.run(
            ["curl", "-s", "-k", "--noproxy", "*", "--max-time", "20", "-w", "\n%{http_code}"]
            + ["-H", f"Host: {host}", "--resolve", f"{host}:{self.port}:127.0.0.1", f"https://{host}:{self.port}{PATH}"],
            capture_output=True,
            text=True,
            check=False,
        )
        body, _, status = done.stdout.rpartition("\n")
        return int(status), body

    def place_of(self, domain):
        """Where the name stands first: the file and its line."""
        for path in sorted(self.sites.iterdir()):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                if f"mta-sts.{domain}" in line.replace("\\.", "."):
                    return path, number
        raise AssertionError(domain)


@pytest.fixture
def site():
    """A folder that everybody may enter, as the workers of the old server do."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        folder.chmod(0o755)
        yield folder


def run_import(*arguments, authority):
    return server.run("import", *arguments, env={"SSL_CERT_FILE": str(authority.root_file)})


def lines_of(text):
    return [line.strip() for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("make", SERVERS, ids=[make.__name__ for make in SERVERS])
def test_each_host_as_curl_gets_it(program, authority, site, make):
    del program
    old = Old(make, site, authority, SERVERS[make])
    with old_servers.running(make, site, old.port):
        fetched = {domain: old.fetch(domain) for domain in old.domains}
        done = run_import("--connect", old.connect(), "--search", old.sites, authority=authority)
        told = run_import(
            "--json", "--connect", old.connect(), "--search", old.sites, authority=authority
        )
    said = done.stderr.decode()
    config = site / "mta-sts.yaml"
    config.write_bytes(done.stdout)
    rows = {row["domain"]: row for row in json.loads(told.stdout)["domains"]}
    assert set(rows) == set(old.domains), said
    for domain, wanted in old.domains.items():
        status, body = fetched[domain]
        path, line = old.place_of(domain)
        assert (rows[domain]["named_in"], rows[domain]["line"]) == (str(path), line), domain
        if isinstance(wanted, str):
            assert status == 200 and f"mx: {wanted}" in body
            written = server.run("policy", "-c", config, domain).stdout.decode()
            assert lines_of(written) == lines_of(body), domain
            assert f"  {domain}:" in done.stdout.decode()
        else:
            assert status == wanted, (domain, body)
            assert rows[domain]["mode"] is None and rows[domain]["problem"], domain
            assert re.search(rf"^  # {re.escape(domain)}: # ", done.stdout.decode(), re.M), domain
            assert f"mta-sts.{domain}" in said
    good = all(isinstance(wanted, str) for wanted in old.domains.values())
    assert done.returncode == told.returncode == (0 if good else 1), said
    checked = server.run("check", "-c", config)
    assert checked.returncode == 0, checked.stderr.decode()
    assert b"warning" not in checked.stderr, checked.stderr.decode()
