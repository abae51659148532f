"""testssl.sh and sslscan look at an ECDSA host and at an RSA host: nothing weak, nothing amiss.

testssl.sh takes its time: `make test` has it look at protocols, keys, certificates and headers;
`make peers` sets SCAN=all, and it looks at everything.
"""

import concurrent.futures
import json
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree

import pytest

DOMAINS = {"example.com": "ECDHE-ECDSA", "example.net": "ECDHE-RSA"}
SUITES = ["{}-AES128-GCM-SHA256", "{}-AES256-GCM-SHA384", "{}-CHACHA20-POLY1305"]
SUITES_13 = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
ALL = os.environ.get("SCAN") == "all"
SECTIONS = [] if ALL else ["--protocols", "--server-defaults", "--headers"]
SECONDS = 600 if ALL else 200

# What no server can help.
EXCUSED = {
    "cert_revocation": "the tests' authority names no place where revoked certificates are listed",
}
# What has to have been found, so that a scan that did not take place does not look like a good one.
FOUND = {
    "TLS1": "not offered",
    "TLS1_1": "not offered",
    "TLS1_2": "offered",
    "TLS1_3": "offered with final",
    "cert_chain_of_trust": "passed",
    "HSTS_time": ".*31557600",
}
if ALL:
    FOUND |= {"cipherlist_STRONG.*": "offered", "FS|PFS": "offered", "BREACH": "not vulnerable"}

pytestmark = pytest.mark.usefixtures("unharmed")


@pytest.fixture(scope="module")
def scans(three, authority, tmp_path_factory):
    """The findings of testssl.sh for each domain, all looked at at the same time."""
    if not shutil.which("testssl"):
        pytest.skip("testssl.sh is not installed")
    folder = tmp_path_factory.mktemp("testssl")

    def scan(domain):
        report = folder / f"{domain}.json"
        command = ["testssl", "--warnings", "off", "--color", "0", "--nodns", "none", "--sneaky"]
        command += ["--ip", "127.0.0.1", "--add-ca", str(authority.root_file)]
        command += ["--jsonfile", str(report), *SECTIONS, f"{three.host(domain)}:{three.port}"]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=SECONDS,
            check=False,
        )
        assert report.exists(), done.stdout.decode()
        return json.loads(report.read_text())

    with concurrent.futures.ThreadPoolExecutor() as pool:
        return dict(zip(DOMAINS, pool.map(scan, DOMAINS)))


@pytest.mark.parametrize("domain", DOMAINS)
def test_testssl(scans, domain):
    findings = scans[domain]
    for identity, text in FOUND.items():
        said = [each["finding"] for each in findings if re.fullmatch(identity, each["id"])]
        assert any(re.match(text, each) for each in said), (identity, said)
    bad = [
        each
        for each in findings
        if each["severity"] in ("LOW", "MEDIUM", "HIGH", "CRITICAL", "FATAL")
        and each["id"] not in EXCUSED
    ]
    assert not bad, bad
    # Only newer versions give a grade, and only when they have looked at everything.
    grades = [each["finding"] for each in findings if each["id"] == "overall_grade"]
    print(f"{domain}: {len(findings)} findings, grade {grades or 'none given'}")
    assert grades in ([], ["A+"])


@pytest.mark.skipif(not shutil.which("sslscan"), reason="sslscan is not installed")
@pytest.mark.parametrize("domain", DOMAINS)
def test_sslscan(three, domain):
    command = ["sslscan", "--xml=-", f"--sni-name={three.host(domain)}", f"127.0.0.1:{three.port}"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=True)
    scan = xml.etree.ElementTree.fromstring(done.stdout).find("ssltest")
    protocols = {
        f"{each.get('type')} {each.get('version')}": each.get("enabled")
        for each in scan.iter("protocol")
    }
    assert {name for name, enabled in protocols.items() if enabled == "1"} == {"tls 1.2", "tls 1.3"}
    assert len(protocols) == 6, "it did not look for old ones"
    suites = {"TLSv1.2": set(), "TLSv1.3": set()}
    for cipher in scan.iter("cipher"):
        suites[cipher.get("sslversion")].add(cipher.get("cipher"))
    assert suites["TLSv1.3"] == SUITES_13
    assert suites["TLSv1.2"] == {suite.format(DOMAINS[domain]) for suite in SUITES}
    groups = {each.get("name").split()[0] for each in scan.iter("group")}
    assert groups == {"x25519", "secp256r1", "secp384r1"}
    assert scan.find("renegotiation").get("supported") == "0"
    assert {each.get("vulnerable") for each in scan.iter("heartbleed")} == {"0"}
