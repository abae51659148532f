"""A name server for a test: answers on 127.0.0.1:53 from a zone file, and "no such name" else. A label
of the name makes it odd:

    servfail, refused   it fails with this code
    mute                it says nothing
    no-aaaa             it says nothing when it is asked for AAAA
    servfail-mx         it fails when it is asked for MX
    cut                 over UDP an answer is cut; it is there over TCP
    cut-silent          the same, but over TCP it says nothing
    cut-drip            or begins a long answer and goes on byte by byte
    cut-close           or hangs up
    other-owner         TXT records of another name are in the answer as well
    circle              an alias of itself

Run as a program with the path of the zone file; it says "ready" and ends with its standard input.
"""

import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from dnslib import CNAME, QTYPE, RCODE, RR, TXT, DNSError
from dnslib.server import BaseResolver, DNSLogger, DNSServer

# Web servers that never answer: port 443 is open at those that the zone names.
SILENT_ADDRESSES = [f"127.0.0.{number}" for number in range(101, 107)]
CODES = {"servfail": RCODE.SERVFAIL, "refused": RCODE.REFUSED}


def be_silent(handler, labels):
    """Over TCP, until the client hangs up. There is no answer to send behind this."""
    with contextlib.suppress(OSError):
        if handler.protocol == "tcp" and "cut-drip" in labels:
            handler.request.sendall(b"\xff\xff")
            for _ in range(300):
                handler.request.sendall(b"\x00")
                time.sleep(0.1)
        elif handler.protocol == "tcp" and "cut-close" not in labels:
            handler.request.recv(1)
    raise DNSError("silent")


class Zone(BaseResolver):
    def __init__(self, text):
        self._records = {}
        for record in RR.fromZone(text):
            name = str(record.rname).lower()
            self._records.setdefault(name, []).append(record)

    def resolve(self, request, handler):
        """A canonical name is followed, as a recursive server does."""
        reply = request.reply()
        name = str(request.q.qname).lower()
        labels = set(name.split("."))
        cut = next((label for label in labels if label.startswith("cut")), None)
        if "mute" in labels or ("no-aaaa" in labels and request.q.qtype == QTYPE.AAAA):
            be_silent(handler, labels)
        if cut is not None and handler.protocol == "udp":
            reply.header.tc = 1
            return reply
        if cut not in (None, "cut"):
            be_silent(handler, labels)
        if "servfail-mx" in labels and request.q.qtype == QTYPE.MX:
            reply.header.rcode = RCODE.SERVFAIL
            return reply
        for label in labels & set(CODES):
            reply.header.rcode = CODES[label]
            return reply
        if "circle" in labels:
            reply.add_answer(RR(request.q.qname, QTYPE.CNAME, rdata=CNAME(request.q.qname)))
            return reply
        if "other-owner" in labels and request.q.qtype == QTYPE.TXT:
            reply.add_answer(RR("other.example", QTYPE.TXT, rdata=TXT("v=STSv1; id=9;")))
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
    text = Path(sys.argv[1]).read_text()
    zone = Zone(text)
    quiet = DNSLogger("-request,-reply,-truncated,-error", prefix=False)
    for tcp in (False, True):
        DNSServer(zone, port=53, address="127.0.0.1", tcp=tcp, logger=quiet).start_thread()
    with contextlib.ExitStack() as stack:
        for address in set(SILENT_ADDRESSES) & set(text.split()):
            stack.enter_context(socket.create_server((address, 443)))
        print("ready", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
