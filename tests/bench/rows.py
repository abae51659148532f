"""The rows of the table, what each compares the servers in, and its goal; how much is measured."""

import dataclasses

# Fetches a second beside a reload.
RATE = 100


@dataclasses.dataclass(frozen=True)
class Goal:
    """A limit, of most or of least: a figure, or relative, a multiple of the best peer's. The
    median is to keep it, or each sample."""

    limit: float
    relative: bool = False
    at_least: bool = False
    each: bool = False


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    title: str
    unit: str
    goal: Goal = None


def _fetch(name, kind, limit):
    """Instructions are counted where the machine can."""
    return [
        Row(name, f"CPU per fetch: {kind}", "µs", Goal(limit, relative=True)),
        Row(f"{name}-instructions", f"Instructions per fetch: {kind}", "thousand"),
    ]


_MANY = "{domains:,} domains with a certificate each"
_SHARED = "{shared:,} domains on certificates of {names} names"
ROWS = [
    *_fetch("fetch13", "TLS 1.3, P-256", 0.5),
    *_fetch("fetch12", "TLS 1.2, P-256", 0.5),
    *_fetch("exchange13", "TLS 1.3, P-256, key exchange on P-256", 0.5),
    *_fetch("exchange12", "TLS 1.2, P-256, key exchange on P-256", 0.5),
    *_fetch("p384", "TLS 1.3, P-384", 0.5),
    *_fetch("rsa2048", "TLS 1.3, RSA-2048", 0.85),
    *_fetch("rsa2048-12", "TLS 1.2, RSA-2048", 0.85),
    *_fetch("rsa4096", "TLS 1.3, RSA-4096", 0.95),
    Row("many-start", f"{_MANY}: start to first fetch", "s", Goal(1)),
    Row("many-cpu", f"{_MANY}: CPU time until then", "s"),
    Row("many-memory", f"{_MANY}: memory of all processes", "MB", Goal(40)),
    Row("reload", f"{_MANY}: one policy changed, reload to first sight", "s", Goal(0.3)),
    Row("reload-errors", "Failed fetches meanwhile, at {rate} a second", "", Goal(0, each=True)),
    Row("reload-slowest", "Slowest fetch meanwhile", "ms"),
    Row("shared-start", f"{_SHARED}: start to first fetch", "s", Goal(0.5)),
    Row("shared-cpu", f"{_SHARED}: CPU time until then", "s"),
    Row("shared-memory", f"{_SHARED}: memory of all processes", "MB", Goal(40)),
    Row("idle-connection", "Memory per TLS connection, kept alive after a fetch", "KB", Goal(6)),
    Row("silent-connection", "Memory per TLS connection, before its request", "KB"),
    Row("single-memory", "One domain, idle: memory of all processes", "MB", Goal(1.9)),
    Row("single-start", "One domain: start to first fetch", "ms", Goal(10)),
    Row("scaling", "Two workers against one, fetches a second", "×", Goal(1.8, at_least=True)),
    Row("scaling-cpu", "Two workers against one, by the CPU time of the busier", "×"),
    Row("size", "The program, stripped", "MB", Goal(2)),
]


@dataclasses.dataclass(frozen=True)
class Scale:
    """How much is measured."""

    rounds: int = 5
    # Seconds of a server's CPU time that one round of one server is to take, about.
    round_seconds: float = 0.15
    # Rounds in which connections are held, which takes longer.
    held_rounds: int = 3
    held: int = 1000
    domains: int = 10000
    shared_certificates: int = 1000
    shared_names: int = 100
    # A step of a slow server is given up after so many seconds, and earlier when the whole has
    # taken so many.
    limit: float = 90.0
    whole: float = 1800.0
    # What is quickly over is repeated, as often as this.
    repeat: int = 3
    repeat_below: float = 5.0

    def words(self):
        """What the titles of rows have in braces."""
        return {
            "domains": self.domains,
            "shared": self.shared_certificates * self.shared_names,
            "names": self.shared_names,
            "rate": RATE,
        }


SMALL = Scale(
    rounds=2,
    round_seconds=0.02,
    held_rounds=1,
    held=20,
    domains=20,
    shared_certificates=2,
    shared_names=10,
    limit=20.0,
    repeat=1,
)
