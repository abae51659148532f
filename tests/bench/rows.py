"""The rows of the table, what each compares the servers in, and its goal; how much is measured."""

import dataclasses

# Fetches a second beside a reload.
RATE = 100


@dataclasses.dataclass(frozen=True)
class Goal:
    """A limit, of most or of least: a figure, or relative, a multiple of the best peer's."""

    limit: float
    relative: bool = False
    at_least: bool = False


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    title: str
    unit: str
    goal: Goal = None


_FETCH = "CPU per fetch"
ROWS = [
    Row("fetch13", f"{_FETCH}: TLS 1.3, P-256", "µs", Goal(0.8, relative=True)),
    Row("fetch12", f"{_FETCH}: TLS 1.2, P-256", "µs", Goal(0.8, relative=True)),
    Row("rsa2048", f"{_FETCH}: TLS 1.3, RSA-2048", "µs", Goal(1.3, relative=True)),
    Row("rsa4096", f"{_FETCH}: TLS 1.3, RSA-4096", "µs", Goal(2.0, relative=True)),
    Row(
        "many-start",
        "{domains:,} domains with a certificate each: start to first fetch",
        "s",
        Goal(1),
    ),
    Row("many-memory", "the same: memory of all processes (PSS)", "MB", Goal(40)),
    Row("reload", "the same: one policy changed, reload to first sight", "s", Goal(0.3)),
    Row("reload-errors", "failed fetches meanwhile, at {rate} a second", "", Goal(0)),
    Row("reload-slowest", "slowest fetch meanwhile", "ms"),
    Row(
        "shared-start",
        "{shared:,} domains on certificates of {names} names: start to first fetch",
        "s",
        Goal(0.5),
    ),
    Row("shared-memory", "the same: memory of all processes (PSS)", "MB", Goal(40)),
    Row("idle-connection", "memory per TLS connection, kept alive after a fetch", "KB", Goal(6)),
    Row("silent-connection", "memory per TLS connection, before its request", "KB"),
    Row("single-memory", "one domain, idle: memory of all processes (PSS)", "MB", Goal(1.4)),
    Row("single-start", "one domain: start to first fetch", "ms", Goal(10)),
    Row("scaling", "two workers against one (RSA-4096)", "×", Goal(1.8, at_least=True)),
    Row("size", "the program, stripped", "MB", Goal(2)),
]


@dataclasses.dataclass(frozen=True)
class Scale:
    """How much is measured."""

    rounds: int = 7
    # Seconds of a server's CPU time that one round of one server is to take, about.
    round_seconds: float = 0.35
    idle_rounds: int = 3
    held: int = 1000
    domains: int = 10000
    shared_certificates: int = 1000
    shared_names: int = 100
    # A step of a slow server is given up after so long.
    limit: float = 90.0
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
    idle_rounds=1,
    held=20,
    domains=20,
    shared_certificates=2,
    shared_names=10,
    limit=20.0,
    repeat=1,
)
