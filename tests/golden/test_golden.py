"""The real program on small configurations: exact bytes out, exact diagnostics out.

accept/NAME.yaml   every domain is served; NAME.out holds what "check", "policy" and "dns" print
refuse/NAME.yaml   one domain is refused, the others are served; NAME.out holds what "check" prints
fatal/NAME.yaml    nothing is served; NAME.out holds what "check" prints

"REGENERATE=1 pytest tests/golden" writes the .out files anew; read the difference before you commit.
"""
import json
import os
import pathlib
import re
import subprocess

import pytest

HERE = pathlib.Path(__file__).parent
PROGRAM = os.environ.get("MTA_STS_HTTPD", str(HERE.parents[1] / "build" / "mta-sts-httpd"))


def run(folder, *words):
    return subprocess.run([PROGRAM, *words], cwd=HERE / folder, capture_output=True, timeout=60)


def cases(folder):
    return sorted(path.stem for path in (HERE / folder).glob("*.yaml"))


def compare(folder, name, output):
    path = HERE / folder / f"{name}.out"
    if os.environ.get("REGENERATE"):
        path.write_bytes(output)
    assert output.decode() == path.read_bytes().decode()


def domains(folder, name):
    listed = run(folder, "list", "--json", "-c", f"{name}.yaml")
    return json.loads(listed.stdout)


@pytest.mark.parametrize("name", cases("accept"))
def test_accept(name):
    checked = run("accept", "check", "-c", f"{name}.yaml")
    output = checked.stderr + checked.stdout
    for domain in domains("accept", name):
        policy = run("accept", "policy", "-c", f"{name}.yaml", domain["domain"])
        assert (policy.returncode, policy.stderr) == (0, b"")
        assert re.fullmatch(rb"version: STSv1\r\nmode: (enforce|testing|none)\r\n"
                            rb"(mx: [-a-z0-9.*]+\r\n)+max_age: [0-9]+\r\n", policy.stdout)
        assert len(policy.stdout) <= 10240
        output += b"# policy " + domain["domain"].encode() + b"\n" + policy.stdout
    # None has a certificate, so what is to be published once there is one stands in comments.
    zone = run("accept", "dns", "-c", f"{name}.yaml")
    assert (zone.returncode, zone.stderr) == (3, b"")
    compare("accept", name, output + b"# dns\n" + zone.stdout)
    assert checked.returncode == 0


@pytest.mark.parametrize("name", cases("refuse"))
def test_refuse(name):
    checked = run("refuse", "check", "-c", f"{name}.yaml")
    compare("refuse", name, checked.stderr + checked.stdout)
    assert checked.returncode == 1
    for domain in domains("refuse", name):
        policy = run("refuse", "policy", "-c", f"{name}.yaml", domain["domain"])
        if domain["domain"] == "good.example":
            assert (policy.returncode, domain["mode"]) == (0, domain["mode"] or "missing")
        else:
            assert (policy.returncode, policy.stdout, domain["state"]) == (1, b"", "refused")
            assert b"error: " in policy.stderr


@pytest.mark.parametrize("name", cases("fatal"))
def test_fatal(name):
    checked = run("fatal", "check", "-c", f"{name}.yaml")
    compare("fatal", name, checked.stderr + checked.stdout)
    assert checked.returncode == 1
    served = run("fatal", "serve", "-c", f"{name}.yaml", "-l", "127.0.0.1:0")
    assert served.returncode == 1
    assert b"not started" in served.stderr
    assert served.stderr.startswith(checked.stderr.splitlines()[0])


@pytest.mark.parametrize("folder", ["refuse", "fatal"])
def test_every_diagnostic_has_a_place(folder):
    for name in cases(folder):
        judged = json.loads(run(folder, "check", "--json", "-c", f"{name}.yaml").stdout)
        text = (HERE / folder / f"{name}.yaml").read_bytes().decode(errors="replace").split("\n")
        assert judged["errors"] > 0
        for diagnostic in judged["diagnostics"]:
            assert diagnostic["file"] == f"{name}.yaml"
            assert 1 <= diagnostic["line"] <= len(text)
            assert 1 <= diagnostic["column"] <= len(text[diagnostic["line"] - 1]) + 1
