"""slowhttptest (Debian) in its three modes, 1,000 connections each, and a fresh client beside it.

Debian 12 has version 1.8.2, which sends no SNI: as it is, all it gets from us is an alert. So that
the attack takes place at all, a small library in front of it sends the name (preload_name.c).
"""

import re
import shutil
import subprocess

import pytest

from support import preload
from support.fresh import Fresh
from support.tree import instrumented

HOST = "mta-sts.example.com"
CONNECTIONS = 1000
SECONDS = 12
# New ones a second: what the sanitizers leave time for, since both sides are one network here.
RATE = 80 if instrumented() else 400
MODES = {
    "slow headers": ["-H", "-i", "2"],
    "slow body": ["-B", "-i", "2", "-s", "8192"],
    "slow read": ["-X", "-w", "1", "-y", "64", "-n", "1", "-z", "1", "-k", "10"],
}

pytestmark = [
    pytest.mark.skipif(shutil.which("slowhttptest") is None, reason="slowhttptest (Debian) is not installed"),
    pytest.mark.alone,
]


def attack(options, port, *, seconds, host, environment=None):
    command = ["slowhttptest", *options, "-c", str(CONNECTIONS), "-r", str(RATE), "-p", "3"]
    command += ["-l", str(seconds), "-u", f"https://{host}:{port}/.well-known/mta-sts.txt"]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        timeout=4 * SECONDS,
        check=False,
    )
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", done.stdout.decode(errors="replace"))


@pytest.fixture
def server(start, setup):
    """One worker with a long policy, so that there is something to read slowly."""
    mx = [f"mx{number}.{'x' * 60}.example" for number in range(120)]
    setup.certify("example.com")
    config = setup.write({"example.com": {"mode": "enforce", "max_age": "2w", "mx": mx}}, workers=1)
    # Such a long policy is warned of.
    return start(config, expect=[r"mta-sts\.yaml:\d+:\d+: warning: ", r"^\s+(why|fix): "])


def numbers(said, word):
    """What each of its reports says about the connections that are so."""
    return [int(number) for number in re.findall(rf"^{word}: +(\d+)$", said, re.M)]


@pytest.mark.parametrize("mode", MODES)
def test_fresh_client_beside_slowhttptest(server, trusted, tmp_path, mode):
    environment = preload.with_name(tmp_path, HOST)
    with Fresh(server.port, HOST, trusted) as fresh:
        fresh.wait_fetches(1)
        said = attack(
            MODES[mode], server.port, seconds=SECONDS, host=HOST, environment=environment
        )
    print(f"{mode}: {fresh.summary()}")
    # A request with a body is refused at once, so that there nothing is left to be slow with.
    if mode == "slow body":
        assert "No open connections left" in said or max(numbers(said, "closed")) > 0, said
    else:
        assert max(numbers(said, "connected")) >= CONNECTIONS // 4, said
    fresh.assert_prompt()


def test_without_a_name_it_comes_to_nothing(server, trusted):
    """As the tool is: either it sends the name by itself one day, or it gets an alert."""
    with Fresh(server.port, HOST, trusted) as fresh:
        fresh.wait_fetches(1)
        said = attack(MODES["slow headers"], server.port, seconds=2, host="127.0.0.1")
    assert max(numbers(said, "connected"), default=0) == 0, said
    assert "Hit test time limit" not in said, said
    fresh.assert_prompt()
