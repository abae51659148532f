"""A folder with a configuration and certificates, as an operator would lay it out."""

import json
import os
from pathlib import Path

from .authority import write_private

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}

DEFAULT_POLICY = {
    "mode": "enforce",
    "max_age": "2w",
    "mx": ["mail.example.com", "*.mx.example.com"],
}


def seconds(max_age):
    if isinstance(max_age, int):
        return max_age
    if max_age[-1] in UNITS:
        return int(max_age[:-1]) * UNITS[max_age[-1]]
    return int(max_age)


def body_of(policy):
    """The bytes of RFC 8461 section 3.2 in the one form that every sender accepts, worked out anew."""
    lines = ["version: STSv1", f"mode: {policy['mode']}"]
    lines += [f"mx: {name.lower()}" for name in policy["mx"]]
    lines.append(f"max_age: {seconds(policy['max_age'])}")
    return "".join(line + "\r\n" for line in lines).encode("ascii")


def replace_file(path, data):
    """Writes a file as a careful tool does: nobody ever sees a half of it."""
    path = Path(path)
    temporary = path.with_name(path.name + ".new")
    write_private(temporary, data if isinstance(data, bytes) else data.encode())
    os.replace(temporary, path)


class Setup:
    """Configuration at root/mta-sts.yaml, certificates below root/certs."""

    def __init__(self, root, authority):
        self.root = Path(root)
        self.authority = authority
        self.certs = self.root / "certs"
        self.certs.mkdir(parents=True, exist_ok=True)
        self.config = self.root / "mta-sts.yaml"

    def certify(self, domain, *more, folder=None, **options):
        """Issues and writes a certificate for the policy hosts of the domains."""
        hosts = [f"mta-sts.{name}" for name in (domain, *more)]
        leaf = self.authority.issue(*hosts, **options)
        leaf.write(self.certs / (folder or domain))
        return leaf

    def text(self, domains, *, policies=None, **top):
        """The configuration as text: a line for each policy and each domain. The values are JSON,
        which is YAML too. domains: a list (all with the default policy) or a mapping; a value of
        None leaves the value out. Further keys of the top level as keywords."""
        keys = {"listen": "127.0.0.1:0", "workers": 2, "certificates": ["certs"]}
        if os.geteuid() == 0:
            keys["user"] = "nobody"
        keys.update(top)
        lines = [f"{key}: {json.dumps(value)}" for key, value in keys.items() if value is not None]
        if policies is None:
            policies = {"default": DEFAULT_POLICY}
        if not isinstance(domains, dict):
            domains = {name: None for name in domains}
        for key, entries in (("policies", policies), ("domains", domains)):
            if not entries:
                continue
            lines.append(f"{key}:")
            for name, value in entries.items():
                written = "" if value is None else " " + json.dumps(value)
                lines.append(f"  {name}:{written}")
        return "\n".join(lines) + "\n"

    def write(self, domains, **options):
        replace_file(self.config, self.text(domains, **options))
        return self.config

    def line_of(self, text, path=None):
        """The number of the first line that holds the text."""
        lines = Path(path or self.config).read_text().splitlines()
        for number, line in enumerate(lines, 1):
            if text in line:
                return number
        raise LookupError(text)
