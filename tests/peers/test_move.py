"""The MX of a domain moves from A to B: on a real BIND, from a Postfix behind Debian's resolver to two others,
with a clock that jumps. When our tools are asked first, no message is lost; when they are not heeded, mail is
lost, and they had said so."""

import contextlib
import dataclasses
import datetime
import json
import shutil
from pathlib import Path

import pytest

from support import postfix, tree
from support.bind import Bind
from support.namespace import entered
from support.play import BOTH, NEW, OLD, Play
from support.wait import until

pytestmark = pytest.mark.skipif(not tree.is_long(), reason=tree.LONG)

ADDRESSES = {"a.example.com": "127.0.0.21", "b.example.com": "127.0.0.22"}
# One sender looks at the record before each message, the other not before its policy has expired: it may be
# cut off from our servers, or be of another make (postfix-tlspol).
EAGER, LATE = "eager@example.com", "late@example.com"
RESOLVER = "host: 127.0.0.1\nport: {port}\ncache_grace: {grace}\ncache: {{type: internal}}\nshutdown_timeout: 1\ndefault_zone: {{timeout: 4}}\n"
# Whoever is refused once has waited too long already: nothing is tried again.
SENDER = """
maximal_queue_lifetime = 0
bounce_queue_lifetime = 0
smtp_tls_policy_maps = socketmap:inet:127.0.0.1:8461:postfix
transport_maps = inline:{late@example.com=late:}
"""
LATE_TRANSPORT = "late unix - - n - - smtp -o smtp_tls_policy_maps=socketmap:inet:127.0.0.1:8462:postfix\n"
RECEIVER = """
virtual_mailbox_domains = example.com
virtual_mailbox_base = {mail}
virtual_mailbox_maps = static:new/
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
smtpd_tls_security_level = may
smtpd_tls_cert_file = {certificate}/fullchain.pem
smtpd_tls_key_file = {certificate}/privkey.pem
smtpd_relay_restrictions = permit_auth_destination, reject
"""
RECEIVER_SERVICES = """
{address}:25 inet n - n - - smtpd
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
"""


@dataclasses.dataclass
class Mail:
    namespace: object
    base: Path
    bind: Bind
    sender: postfix.Postfix


@pytest.fixture(scope="module")
def mail(authority, tmp_path_factory):
    """The name server and the mail servers, which know nothing of time."""
    folder = tmp_path_factory.mktemp("mail")
    with entered(folder) as namespace, postfix.folder(authority) as base, contextlib.ExitStack() as stack:
        bind = stack.enter_context(Bind.running(namespace, folder / "named", ["example.com"]))
        for host, address in ADDRESSES.items():
            bind.update(f"update add {host}. 60 A {address}\nsend\n")
            certificate = authority.issue(host).write(base / f"{host}.pem")
            (base / f"{host}.mail").mkdir()
            shutil.chown(base / f"{host}.mail", 65534, 65534)
            main = RECEIVER.format(mail=base / f"{host}.mail", certificate=certificate)
            services = RECEIVER_SERVICES.format(address=address)
            stack.enter_context(postfix.Postfix(namespace, base, main, services, host))
        sender = stack.enter_context(postfix.Postfix(namespace, base, SENDER, LATE_TRANSPORT))
        yield Mail(namespace, base, bind, sender)


class Move(Play):
    """The play with a real name server and real mail servers."""

    def __init__(self, folder, authority, mail, stack):
        super().__init__(folder, authority, mail.namespace, stack)
        self.bind, self.base, self.sender = mail.bind, mail.base, mail.sender

    def begin(self):
        """The policy names A alone, and both senders have it. The late one got it in the last hour."""
        self.at(-1)
        self.serve(mx=OLD)
        self.bind.update("update delete _mta-sts.example.com.\nupdate delete mta-sts.example.com.\nsend\n")
        self.mx("a.example.com")
        self.publish(status=3)  # the address first, for what it serves is not known without
        assert self.publish() == set()
        self.resolve(8461, 60)
        assert self.mail(EAGER) == "a.example.com"
        self.at(0, 8, 30)
        assert self.probe() == set()
        self.resolve(8462, 400 * 86400)
        assert self.mail(LATE) == "a.example.com"

    def resolve(self, port, grace):
        config = self.base / f"{port}.yml"
        config.write_text(RESOLVER.format(port=port, grace=grace))
        environment = {**self.clock.environment, "SSL_CERT_FILE": str(self.base / "root.pem")}
        self.stack.enter_context(postfix.resolving(self.namespace, config, environment))

    def mx(self, host):
        self.bind.update(f"update delete example.com. MX\nupdate add example.com. 60 MX 10 {host}.\nsend\n")

    def publish(self, *, status=0):
        """The line for cron of the manual, a moment before the time; and a look behind it."""
        command = "{ echo server 127.0.0.1 53; cat; } | nsupdate"
        published = self.setup.root / "published.json"
        now, self.now = self.now, self.now - datetime.timedelta(seconds=30)
        words = ["dns", "--served", "--record", "-f", "nsupdate", "--published", published, "--commit-with", command]
        self.run(*words, status=status)
        self.now = now
        return self.probe()

    def mail(self, recipient):
        """The host that has the message; None: it is lost."""
        before, log = self.arrived(), self.sender.log()
        said = self.sender.send(recipient)
        if said[1] == "deferred":
            until(lambda: "status=expired, returned to sender" in self.sender.log()[len(log) :], "a bounce", 40)
            assert self.arrived() == before
            return None
        assert said[1] == "sent", said[0]
        (host,) = until(lambda: [host for host, count in self.arrived().items() if count > before[host]], "the message", 40)
        return host

    def arrived(self):
        return {host: len(list((self.base / f"{host}.mail").glob("new/new/*"))) for host in ADDRESSES}

    def all_mail(self):
        return self.mail(EAGER), self.mail(LATE)

    def smtp(self):
        """The state of each MX, as `probe --smtp` sees it."""
        found = json.loads(self.run("probe", "--smtp", "--json", "example.com").stdout)
        return {report["mx"]: report["state"] for report in found if "mx" in report}


@pytest.fixture
def move(program, authority, mail, tmp_path):
    del program
    with contextlib.ExitStack() as stack:
        move = Move(tmp_path, authority, mail, stack)
        move.begin()
        yield move


def test_no_message_is_lost_in_the_right_order(move):
    at_a, at_b = ("a.example.com",) * 2, ("b.example.com",) * 2
    # What would be wrong is said before it is done.
    move.at(0, 8, 45)
    (said,) = move.findings(mx=NEW)
    assert "b.example.com" in said, said
    assert move.findings(mx=BOTH) == []
    assert move.smtp() == {"a.example.com": "good"}

    # Both are named; the record follows when it is served.
    move.at(0, 9)
    move.serve(mx=BOTH)
    assert move.probe() == {"record-id"}
    assert move.all_mail() == at_a
    assert move.alone("b.example.com")[0] == "renewed"
    move.at(0, 9, 30)
    assert move.publish() == set()
    assert move.alone("b.example.com") == ("date", move.day(14, 11, 30))
    for day in (1, 7, 13):
        move.at(day)
        assert move.all_mail() == at_a and move.probe() == set()

    # From that date on B may be the only MX; and then, A may go.
    move.at(14, 11, 30)
    assert move.alone("b.example.com")[0] == "free"
    move.mx("b.example.com")
    assert move.probe() == set() and move.smtp() == {"b.example.com": "good"}
    assert move.all_mail() == at_b
    move.at(19, 12)
    assert move.findings(mx=NEW) == []
    move.serve(mx=NEW)
    move.at(19, 12, 30)
    assert move.publish() == set()
    for day in (20, 40):
        move.at(day)
        assert move.all_mail() == at_b and move.probe() == set()
    assert move.alone("b.example.com")[0] == "free"


@pytest.mark.parametrize("when, serves, publishes, lost", [
    ((0, 8, 50), OLD, False, {EAGER, LATE}),
    ((0, 9, 40), BOTH, True, {LATE}),
    ((0, 9, 40), NEW, True, {LATE}),
    ((14, 8, 0), BOTH, True, {LATE}),
    ((20, 12, 0), BOTH, False, {EAGER, LATE}),  # its policy has expired, and is renewed by the old id
], ids=["before the policy", "with the policy", "with B alone", "hours before the date", "without the record"])  # fmt: skip
def test_mail_is_lost_when_the_mx_moves_too_early(move, when, serves, publishes, lost):
    """Whoever asks `check` knows it before, and `probe` says so before mail is sent."""
    move.at(0, 9)
    if serves != OLD:
        move.serve(mx=serves)
    move.at(0, 9, 30)
    if publishes:
        move.publish()
    move.at(*when)
    assert any("b.example.com" in one for one in move.findings(mx=NEW))
    move.mx("b.example.com")
    found = move.probe()
    assert found & {"mx-held-all", "mx-refused"}, found
    assert {to for to in (EAGER, LATE) if move.mail(to) is None} == lost
