"""A name server for a test: answers on 127.0.0.1:53 from a zone file, and "no such name" else; for
names with the label servfail it fails.

Run as a program with the path of the zone file; it says "ready" and ends with its standard input.
"""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from dnslib import QTYPE, RCODE, RR
from dnslib.server import BaseResolver, DNSLogger, DNSServer


class Zone(BaseResolver):
    def __init__(self, text):
        self._records = {}
        for record in RR.fromZone(text):
            name = str(record.rname).lower()
            self._records.setdefault(name, []).append(record)

    def resolve(self, request, handler):
        """A canonical name is followed, as a recursive server does."""
        del handler
        reply = request.reply()
        name = str(request.q.qname).lower()
        if "servfail" in name.split("."):
            reply.header.rcode = RCODE.SERVFAIL
            return reply
        if name not in self._records:
            reply.header.rcode = RCODE.NXDOMAIN
            return reply
        for _ in range(4):
            records = self._records.get(name, [])
            for record in records:
                if record.rtype in (request.q.qtype, QTYPE.CNAME):
                    reply.add_answer(record)
            aliases = [record for record in records if record.rtype == QTYPE.CNAME]
            if not aliases:
                break
            name = str(aliases[0].rdata).lower()
        return reply


@contextlib.contextmanager
def running(namespace, zone_file):
    """The name server inside the namespace, ready."""
    process = subprocess.Popen(
        [*namespace.prefix, sys.executable, __file__, str(zone_file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    try:
        assert process.stdout.readline() == b"ready\n"
        yield
    finally:
        process.communicate(timeout=20)


def main():
    zone = Zone(Path(sys.argv[1]).read_text())
    quiet = DNSLogger("-request,-reply,-truncated,-error", prefix=False)
    for tcp in (False, True):
        DNSServer(zone, port=53, address="127.0.0.1", tcp=tcp, logger=quiet).start_thread()
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
