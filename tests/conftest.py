"""What every test of the running program may ask for."""

import fcntl
import hashlib
import itertools
import os
import pathlib
import subprocess
import sys

import pytest

sys.dont_write_bytecode = True

# The import has to come after the switch above, or Python leaves compiled files in the source tree.
from support import client, tree
from support.authority import Authority
from support.server import Server
from support.setup import DEFAULT_POLICY, Setup, body_of
from support.wait import take_long


# What takes long or makes what others use, begun first.
FIRST = ("test_boot", "test_build", "test_debian", "test_anomaly", "test_watch", "test_loads", "test_scanners")


def pytest_configure(config):
    config.addinivalue_line("markers", "alone: it measures, or takes all processors: nothing runs beside it")


def pytest_collection_modifyitems(items):
    def place(item):
        name = item.path.stem
        return FIRST.index(name) if name in FIRST else len(FIRST)

    items.sort(key=place)


def unclaimed(items, claims):
    """The tests of each file that no other pytest has claimed; a file's tests share its servers."""
    for path, those in itertools.groupby(items, key=lambda item: item.path):
        name = str(path.relative_to(tree.ROOT)).replace("/", ":")
        try:
            os.close(os.open(os.path.join(claims, name), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        yield from those


def pytest_runtestloop(session):
    """As pytest's own, for several pytests that share the files (tests/run)."""
    claims = os.environ.get("TEST_CLAIMS")
    if not claims or session.testsfailed or session.config.option.collectonly:
        return None
    items = unclaimed(session.items, claims)
    item = next(items, None)
    while item:
        following = next(items, None)
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)
        item = following
    return True


@pytest.fixture(scope="session")
def program():
    """The program under test, which must be there: a missing one is a failure, not a skip."""
    path = tree.program()
    if not path.is_file():
        pytest.fail(f"{path} is not there: run make first, or set MTA_STS_HTTPD", pytrace=False)
    return path


@pytest.fixture(scope="session")
def package():
    """The Debian package, built from this tree; the build folder is the tree's own. One that is there
    is taken when it was built here from the same files."""
    folder = tree.ROOT / "build" / "deb"
    made_from = folder / "made-from"
    take_long()
    (tree.ROOT / "build").mkdir(exist_ok=True)
    with open(tree.ROOT / "build" / "deb.lock", "w", encoding="utf-8") as lock:
        # Another pytest may be building it.
        fcntl.flock(lock, fcntl.LOCK_EX)
        digest = digest_of_sources()
        if not made_from.is_file() or made_from.read_text() != digest:
            done = subprocess.run(
                ["make", "deb"],
                cwd=tree.ROOT,
                env={**os.environ, "MAKEFLAGS": ""},
                capture_output=True,
                text=True,
                timeout=1200,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            made_from.write_text(digest)
    (found,) = folder.glob("mta-sts-httpd_*.deb")
    return found


def digest_of_sources():
    """Of all that "make deb" packs: names, rights and contents."""
    digest = hashlib.sha256()
    for folder, below, names in os.walk(tree.ROOT):
        below[:] = sorted(name for name in below if name not in ("build", ".git", "dev"))
        for name in sorted(names):
            path = os.path.join(folder, name)
            what = os.readlink(path).encode() if os.path.islink(path) else pathlib.Path(path).read_bytes()
            about = f"{os.path.relpath(path, tree.ROOT)} {os.lstat(path).st_mode} {len(what)}\n"
            digest.update(about.encode() + what)
    return digest.hexdigest()


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def trusted(authority):
    """A client's context of both TLS versions that trusts the authority."""
    return client.trusting(authority.root_file)


@pytest.fixture
def setup(tmp_path, authority):
    return Setup(tmp_path, authority)


@pytest.fixture
def start(program):
    """Starts servers for one test; at its end each is stopped, and each stop is checked."""
    del program
    servers = []

    def begin(config, *, seconds=30.0, **options):
        server = Server(config, **options)
        servers.append(server)
        server.wait_ready(1, seconds=seconds)
        return server

    yield begin
    try:
        for server in servers:
            if not server.stopped:
                server.stop()
    finally:
        for server in servers:
            server.kill()


class Three:
    """Three domains with three policies and certificates of three kinds, being served."""

    POLICIES = {
        "example.com": DEFAULT_POLICY,
        "example.net": {"mode": "testing", "max_age": 86400, "mx": ["*.example.net"]},
        "example.org": {
            "mode": "none",
            "max_age": "31557600s",
            "mx": ["mx3.example.org", "mx1.example.org", "xn--mller-kva.example"],
        },
    }
    KINDS = {"example.com": "P-256", "example.net": "RSA 2048", "example.org": "P-384"}
    PLAIN = "example.com"

    def __init__(self, setup):
        self.setup = setup
        self.leaves = {
            domain: setup.certify(domain, kind=kind) for domain, kind in self.KINDS.items()
        }
        domains = dict(self.POLICIES)
        domains["example.com"] = None
        setup.write(domains)
        self.server = None

    @property
    def port(self):
        return self.server.port

    @staticmethod
    def host(domain=PLAIN):
        return "mta-sts." + domain

    def body(self, domain=PLAIN):
        return body_of(self.POLICIES[domain])

    def connect(self, context, domain=PLAIN, **options):
        return client.Connection(self.port, self.host(domain), context, **options)


@pytest.fixture(scope="module")
def three(program, authority, tmp_path_factory):
    """One server for all tests of a module, which share it and must leave it unharmed."""
    del program
    group = Three(Setup(tmp_path_factory.mktemp("three"), authority))
    with Server.running(group.setup.config) as server:
        group.server = server
        yield group


@pytest.fixture
def unharmed(three, trusted):
    """After the test: the same workers live, they serve, and nothing was said."""
    workers, since = three.server.workers(), three.server.mark()
    yield
    response = client.fetch(three.port, three.host(), trusted)
    assert (response.status, response.body) == (200, three.body())
    assert three.server.workers() == workers, three.server.log()
    assert three.server.mark() == since, three.server.log()
