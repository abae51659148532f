"""What is served: policies, certificates and the hosts that they are for.

Everything is made anew by each run, below a folder of the caller's, which removes it.
"""

import dataclasses
import os
import tempfile
from pathlib import Path

from support.authority import Authority
from support.setup import body_of

# Every host has the first; a reload gives one of them the second.
POLICIES = {
    "before": {"mode": "enforce", "max_age": "2w", "mx": ["mail.example.com", "*.mx.example.com"]},
    "after": {"mode": "testing", "max_age": "1w", "mx": ["mail.example.net"]},
}
# For certificates, so that a key's name follows from the chain's, as haproxy wants it.
CHAIN, KEY = "tls.pem", "tls.pem.key"


@dataclasses.dataclass(frozen=True)
class Policy:
    """root is a document root that holds the policy, file the policy in it."""

    name: str
    root: Path
    file: Path
    body: bytes

    @property
    def values(self):
        return POLICIES[self.name]


@dataclasses.dataclass(frozen=True)
class Certificate:
    """The names that it is for, and where chain and key are: alone in a folder."""

    names: tuple
    folder: Path

    @property
    def chain(self):
        return self.folder / CHAIN

    @property
    def key(self):
        return self.folder / KEY


@dataclasses.dataclass(frozen=True)
class Site:
    """What one server is to serve: certificates below a folder, and the policy of each host. The
    changed one has the policy `after`."""

    certificates: tuple
    folder: Path
    policies: dict
    changed: str = None

    @property
    def hosts(self):
        return [name for certificate in self.certificates for name in certificate.names]

    def policy_of(self, host):
        return self.policies["after" if host == self.changed else "before"]

    def with_change(self, host):
        return dataclasses.replace(self, changed=host)


class Data:
    """Makes what the rows ask for, each once."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self._authority = Authority(folder)
        self._sites = {}
        self.policies = {name: self._policy(name, values) for name, values in POLICIES.items()}

    def _policy(self, name, values):
        root = self.folder / "policies" / name
        file = root / ".well-known" / "mta-sts.txt"
        file.parent.mkdir(parents=True)
        file.write_bytes(body_of(values))
        return Policy(name, root, file, file.read_bytes())

    def site(self, kind, certificates, names):
        """So many certificates with so many names each; kind as Authority.issue has it."""
        key = (kind, certificates, names)
        if key not in self._sites:
            folder = Path(tempfile.mkdtemp(prefix="certificates.", dir=self.folder))
            os.chmod(folder, 0o755)
            self._sites[key] = Site(
                tuple(self._certificate(folder, kind, n, names) for n in range(certificates)),
                folder,
                self.policies,
            )
        return self._sites[key]

    def _certificate(self, folder, kind, number, count):
        first = number * count
        names = tuple(f"mta-sts.customer{first + i}.example" for i in range(count))
        leaf = self._authority.issue(*names, kind=kind)
        return Certificate(names, leaf.write(folder / names[0], chain=CHAIN, key=KEY))

    def list_of(self, hosts):
        """A file with the hosts, one a line, as the load generator wants it."""
        descriptor, path = tempfile.mkstemp(prefix="hosts.", dir=self.folder)
        with os.fdopen(descriptor, "w") as file:
            file.write("\n".join(hosts) + "\n")
        return Path(path)
