"""The command-line clients that operators have: curl, OpenSSL, GnuTLS."""

import re
import subprocess

from .client import PATH, request

ALERT_NUMBER = re.compile(rb"SSL alert number (\d+)")


def curl(port, host, root_file, *options, path=PATH, address="127.0.0.1"):
    command = ["curl", "--silent", "--show-error", "--max-time", "20", "--noproxy", "*"]
    command += ["--cacert", str(root_file), "--resolve", f"{host}:{port}:{address}"]
    command += [*options, f"https://{host}:{port}{path}"]
    return subprocess.run(command, capture_output=True, timeout=30, check=False)


def s_client(port, host, root_file, *options, data=None, quiet=True):
    """openssl s_client. host None sends no SNI. Without data it only shakes hands. quiet: it sends the
    data as they are and stays until the server ends; else they are its own commands too."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", str(root_file)]
    command += ["-noservername"] if host is None else ["-servername", host]
    command += ["-verify_return_error", *options]
    if data is not None and quiet:
        command += ["-quiet"]
    return subprocess.run(
        command, input=data or b"Q\n", capture_output=True, timeout=30, check=False
    )


def alert_number(completed):
    """The number of the alert that s_client was sent, or None."""
    match = ALERT_NUMBER.search(completed.stderr)
    return int(match[1]) if match else None


def s_client_fetch(port, host, root_file, *options):
    """The body that s_client gets."""
    data = request(host, close=True)
    done = s_client(port, host, root_file, "-verify_hostname", host, *options, data=data)
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), (done.returncode, done.stdout, done.stderr)
    return body


def gnutls_fetch(port, host, root_file, log_file, *options):
    """The body that gnutls-cli gets. It says good-bye when its input ends, so the input stays open
    until the server has closed."""
    command = ["gnutls-cli", "--x509cafile", str(root_file), "--port", str(port)]
    command += ["--sni-hostname", host, "--verify-hostname", host, "--logfile", str(log_file)]
    command += [*options, "127.0.0.1"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            process.stdin.write(request(host, close=True))
            process.stdin.flush()
            answer = process.stdout.read()
            process.stdin.close()
            process.wait(20)
            said = process.stderr.read()
        finally:
            process.kill()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), (process.returncode, answer, said)
    return body
