"""The move away from nginx and from Apache in the lines of the README, from end to end: `probe` of the
old server, `import`, `check`, our server, `probe` of ours, which finds nothing."""

import json
import tempfile
from pathlib import Path

import pytest

from support import old_servers, server
from support.authority import PEM
from support.old_servers import apache, nginx
from support.server import Server, free_port

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
NGINX_HOST = """\
server {{
    listen 127.0.0.1:{port} ssl;
    server_name mta-sts.{domain};
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    location = /.well-known/mta-sts.txt {{ alias {file};{untyped} }}
}}
"""
APACHE_HOST = """\
<VirtualHost *:{port}>
    ServerName mta-sts.{domain}
    SSLEngine on
    SSLCertificateFile {certificate}
    SSLCertificateKeyFile {key}
    Alias /.well-known/mta-sts.txt {file}
{untyped}</VirtualHost>
"""
# What a guide of Apache shows, its twin for nginx, and the location of mailcow, where the names are those
# of a pattern.
APACHE_GUIDE = """\
<VirtualHost *:{port}>
    ServerAdmin webmaster@{domain}
    ServerName mta-sts.{domain}
    DocumentRoot "{folder}"
    Alias /.well-known/mta-sts.txt {file}
    <Files "mta-sts.txt">
        Require all granted
    </Files>
    SSLEngine on
    SSLProtocol -all +TLSv1.2 +TLSv1.3
    SSLCertificateFile {certificate}
    SSLCertificateKeyFile {key}
    ErrorLog {folder}/mta-sts.{domain}_error.log
</VirtualHost>
"""
NGINX_GUIDE = """\
server {{
    listen 127.0.0.1:{port} ssl;
    server_name mta-sts.{domain};
    root {folder};
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    location ^~ /.well-known/mta-sts.txt {{
        default_type text/plain;
        try_files $uri @policy;
    }}
    location @policy {{
        return 200 "version: STSv1\\nmode: enforce\\nmx: mail.{domain}\\nmax_age: 604800\\n";
    }}
}}
"""
MAILCOW = """\
server {{
    listen 127.0.0.1:{port} ssl;
    server_name mail.{domain} autodiscover.* autoconfig.* mta-sts.*;
    root {folder};
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    location ^~ /.well-known/mta-sts.txt {{
        allow all;
        types {{ }} default_type text/plain;
        alias {file};
    }}
    location / {{ return 301 https://mail.{domain}/; }}
}}
"""
UNTYPED = {
    nginx: " types { } default_type text/html;",
    apache: "    <Location />\n        ForceType text/html\n    </Location>\n",
}


def certify(folder, authority, domain, **options):
    """The folder with the four files of certbot."""
    leaf = authority.issue(f"mta-sts.{domain}", **options)
    place = leaf.write(folder / "live" / f"mta-sts.{domain}")
    (place / "cert.pem").write_bytes(leaf.leaf_pem())
    (place / "chain.pem").write_bytes(authority.intermediate.public_bytes(PEM))
    return place


class Site:
    """The folder of an old server, with a site for each domain."""

    def __init__(self, folder, authority):
        self.folder = folder
        self.authority = authority
        self.port = free_port()
        self.sites = folder / "sites"
        self.sites.mkdir()
        self.domains = []

    def add(self, text, domain, *, change=crlf, leaf_only=False, untyped="", **options):
        place = certify(self.folder, self.authority, domain, **options)
        file = self.folder / "www" / domain / "mta-sts.txt"
        file.parent.mkdir(parents=True)
        file.write_text(change(POLICY.format(domain=domain)), newline="")
        text = text.format(
            port=self.port,
            domain=domain,
            certificate=place / ("cert.pem" if leaf_only else "fullchain.pem"),
            key=place / "privkey.pem",
            file=file,
            folder=self.folder,
            untyped=untyped,
        )
        (self.sites / f"{domain}.conf").write_text(text)
        self.domains.append(domain)

    def codes(self, *arguments):
        """What `probe` finds of each of the domains."""
        trust = ["--ca", self.authority.root_file]
        done = server.run("probe", "--json", *trust, *arguments, *self.domains)
        assert done.stderr == b"", done.stderr.decode()
        listed = json.loads(done.stdout)
        found = {
            report["domain"]: [item["code"] for item in report["findings"]] for report in listed
        }
        levels = {item["level"] for report in listed for item in report["findings"]}
        assert done.returncode == (1 if "error" in levels else 0)
        return found

    def imported(self, *arguments):
        connect = ["--connect", f"127.0.0.1:{self.port}"]
        environment = {"SSL_CERT_FILE": str(self.authority.root_file)}
        return server.run("import", *connect, "--search", self.sites, *arguments, env=environment)

    def move(self, text):
        """The lines of the README behind the import: no fault is left."""
        config = self.folder / "mta-sts.yaml"
        config.write_bytes(text)
        checked = server.run("check", "-c", config)
        assert checked.returncode == 0, checked.stderr.decode()
        with Server.running(config, arguments=["-l", "127.0.0.1:0"]) as ours:
            found = self.codes("-c", config, "--connect", f"127.0.0.1:{ours.port}")
        assert found == {domain: [] for domain in self.domains}


@pytest.fixture(name="site")
def fixture_site(program, authority):
    """In a folder that everybody may enter, as the workers of the old server do."""
    del program
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        folder.chmod(0o755)
        yield Site(folder, authority)


@pytest.mark.parametrize("make", [nginx, apache], ids=["nginx", "apache"])
def test_old_faults_are_named_and_gone(site, make):
    for label, (change, how, _) in DOMAINS.items():
        site.add(
            NGINX_HOST if make is nginx else APACHE_HOST,
            f"{label}.example",
            change=change,
            leaf_only=how == "leaf only",
            untyped=UNTYPED[make] if how == "untyped" else "",
            **({"begin": -90, "end": -1} if how == "not reloaded" else {}),
        )
    with old_servers.running(make, site.folder, site.port):
        # Renewed behind the back of the old server, which was not reloaded.
        certify(site.folder, site.authority, "renewed.example")
        old = site.codes("--connect", f"127.0.0.1:{site.port}")
        imported = site.imported()
    assert old == {f"{label}.example": expected for label, (_, _, expected) in DOMAINS.items()}
    said = imported.stderr.decode()
    assert imported.returncode == 0, said
    assert "mta-sts.renewed.example: the certificate expired" in said
    assert "mta-sts.renewed.example: the certificate that the server shows is not found here" in said
    assert f"certificates:\n  - {site.folder}/live\n\n" in imported.stdout.decode()
    site.move(imported.stdout)


@pytest.mark.parametrize(
    "make, text", [(apache, APACHE_GUIDE), (nginx, NGINX_GUIDE)], ids=["apache", "nginx"]
)
def test_guides(site, make, text):
    site.add(text, "one.example", change=with_lf)
    site.add(text, "two.example", change=with_lf)
    with old_servers.running(make, site.folder, site.port):
        imported = site.imported()
    assert imported.returncode == 0, imported.stderr.decode()
    site.move(imported.stdout)


def test_mailcow(site):
    """The pattern is reported, and the domain is named then."""
    site.add(MAILCOW, "one.example", change=with_lf)
    with old_servers.running(nginx, site.folder, site.port):
        refused = site.imported()
        imported = site.imported("one.example")
        alone = server.run(
            "import", "--connect", f"127.0.0.1:{site.port}", "one.example"
        )
    said = refused.stderr.decode()
    place = f"{site.sites}/one.example.conf:3:62"
    assert refused.returncode == 1 and f'{place}: error: the name "mta-sts.*"' in said, said
    assert "name the domains" in said
    assert imported.returncode == 1 and alone.returncode == 0
    assert b"certificates were not found" in alone.stdout
    site.move(imported.stdout)
