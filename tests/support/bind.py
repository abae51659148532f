"""BIND, the name server, for a test: primary of zones that nsupdate may change."""

import contextlib
import re
import shutil
import subprocess

import pytest

ZONE = """$TTL 60
@ IN SOA ns.invalid. hostmaster.invalid. 1 3600 600 86400 60
@ IN NS ns.invalid.
mail IN A 127.0.0.1
"""
CONF = """
options {{ directory "{folder}"; listen-on port 53 {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
  recursion {recursion}; pid-file none; session-keyfile none; notify no; dnssec-validation no; }};
controls {{ }};
{zones}
"""


class Bind:
    """The name server. close() ends it."""

    def __init__(self, namespace, folder, names, recursion="no"):
        self.namespace = namespace
        self._recurse = "+norecurse" if recursion == "no" else "+recurse"
        folder.mkdir()
        zones = ""
        for name in names:
            (folder / name).write_text(ZONE)
            zones += f'zone "{name}" {{ type primary; file "{name}"; '
            zones += "allow-update { 127.0.0.1; }; };\n"
        (folder / "named.conf").write_text(CONF.format(folder=folder, zones=zones, recursion=recursion))
        self._prefix = namespace.prefix
        program = shutil.which("named", path="/usr/sbin:/usr/bin:/usr/local/sbin")
        assert program, "server/dependencies.sh install test brings named"
        self._process = subprocess.Popen(
            [*self._prefix, program, "-g", "-n", "1", "-c", folder / "named.conf"],
            stderr=subprocess.PIPE,
            text=True,
        )
        said = []
        for line in self._process.stderr:
            said.append(line)
            if re.search(r"\brunning$", line.rstrip()):
                break
        else:
            pytest.fail("".join(said))
        # What it says later has to go somewhere, or it would wait for us.
        self._drain = subprocess.Popen(["cat"], stdin=self._process.stderr, stdout=subprocess.DEVNULL)

    @classmethod
    def running(cls, *arguments):
        return contextlib.closing(cls(*arguments))

    def close(self):
        self._process.terminate()
        self._process.wait(20)
        self._drain.wait(20)

    def update(self, text):
        """Sends what nsupdate is given, to this server and no other."""
        done = subprocess.run(
            [*self._prefix, "nsupdate"],
            input="server 127.0.0.1 53\n" + text,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr

    def dig(self, name, kind):
        """The answers, sorted; the character strings of a text are joined."""
        command = [*self._prefix, "dig", "@127.0.0.1", "+short", self._recurse, name, kind]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        lines = done.stdout.splitlines()
        if kind == "TXT":
            lines = ["".join(re.findall(r'"([^"]*)"', line)).replace("\\;", ";") for line in lines]
        return sorted(lines)
