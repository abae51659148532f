"""`probe` and certificates that are odd: what senders refuse is named, what they take is taken, and
none of them keeps it busy."""

import json
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from support import server
from support.authority import PEM, Authority
from support.faulty import Listener, read_head, response, server_context

HOST = "mta-sts.example.com"


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """Issues chains of which one certificate is odd."""
    return Odd(tmp_path_factory.mktemp("odd"))


class Odd(Authority):
    def leaf_below(self, *extensions, names=(HOST,), leaf_extensions=(), middle_key=None, end=3650):
        """A leaf below an intermediate of its own with these extensions."""
        key = middle_key or self._middle_key
        self._middle_key, kept = key, self._middle_key
        builder = self._builder(
            self._middle_name, key, "Test Root", self._root_key, self.day(-30), self.day(end)
        )
        builder = builder.add_extension(x509.BasicConstraints(True, None), True)
        for value, critical in extensions:
            builder = builder.add_extension(value, critical)
        leaf = self.issue(*names, extensions=leaf_extensions)
        leaf.intermediates = [builder.sign(self._root_key, hashes.SHA256())]
        self._middle_key = kept
        return leaf

    def cross_signed(self, end):
        """The root once more, signed by an authority that is gone."""
        old = Authority(self.root_file.parent, name="Gone")
        builder = old._builder(
            "Test Root", self._root_key, "Gone Root", old._root_key, self.day(-900), self.day(end)
        )
        self.root_file.write_bytes(self.root.public_bytes(PEM))
        builder = builder.add_extension(x509.BasicConstraints(True, None), True)
        return builder.sign(old._root_key, hashes.SHA256())


def probe(odd, folder, leaf, *, chain=None, status=None, versions=None):
    """What is found, by code."""
    context = server_context(folder, leaf, chain=chain, versions=versions)

    def handle(client):
        with context.wrap_socket(client, server_side=True) as stream:
            read_head(stream)
            stream.sendall(response())
            stream.unwrap()

    with Listener(handle) as listener:
        place = ["--connect", f"127.0.0.1:{listener.port}", "--ca", odd.root_file]
        done = server.run("probe", "--json", *place, "example.com")
    assert status in (None, done.returncode), done.stdout
    (report,) = json.loads(done.stdout)
    return {item["code"]: (item["level"], item["message"]) for item in report["findings"]}


def constraints(permitted=None, excluded=None):
    def names(values):
        return None if values is None else [x509.DNSName(value) for value in values]

    return x509.NameConstraints(names(permitted), names(excluded))


@pytest.mark.parametrize("critical", [True, False])
@pytest.mark.parametrize(
    "permitted, excluded, good",
    [
        (["example.com"], None, True),
        (["Example.COM", "example.net"], None, True),
        ([".example.com"], None, True),
        (["com"], None, True),
        (["example.net"], None, False),
        (["le.com"], None, False),
        (["www.mta-sts.example.com"], None, False),
        (None, ["example.com"], False),
        (None, ["ample.com"], True),
        (["example.com"], ["mta-sts.example.com"], False),
    ],
)
def test_name_constraints(program, odd, tmp_path, permitted, excluded, good, critical):
    del program
    leaf = odd.leaf_below((constraints(permitted, excluded), critical))
    found = probe(odd, tmp_path, leaf, status=0 if good else 1)
    wanted = f"the authority CN=Test Intermediate may not issue for {HOST} (name constraints)"
    assert found == ({} if good else {"certificate-constrained": ("error", wanted)})


def test_constraints_of_other_names_are_not_judged(program, odd, tmp_path):
    del program
    directory = x509.DirectoryName(x509.Name([]))
    both = x509.NameConstraints([x509.DNSName("example.com"), directory], None)
    found = probe(odd, tmp_path, odd.leaf_below((both, True)), status=0)
    assert {code: level for code, (level, _) in found.items()} == {"certificate-not-judged": "note"}


@pytest.mark.parametrize(
    "extension, name",
    [
        (x509.PolicyConstraints(0, None), "policyConstraints"),
        (x509.InhibitAnyPolicy(0), "inhibitAnyPolicy"),
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.55555.1"), b"\x05\x00"), "not known"),
    ],
)
def test_critical_extensions_of_authorities_are_told(program, odd, tmp_path, extension, name):
    """They are no reason to refuse the chain, which most senders take."""
    del program
    found = probe(odd, tmp_path, odd.leaf_below((extension, True)), status=0)
    ((code, (level, message)),) = found.items()
    assert (code, level) == ("certificate-not-judged", "note") and name in message


def test_policies_are_no_fault(program, odd, tmp_path):
    del program
    policy = x509.PolicyInformation(x509.ObjectIdentifier("1.3.6.1.4.1.55555.2"), None)
    assert probe(odd, tmp_path, odd.leaf_below((x509.CertificatePolicies([policy]), True)), status=0) == {}


@pytest.mark.parametrize("critical", [True, False])
def test_must_staple(program, odd, tmp_path, critical):
    del program
    feature = x509.TLSFeature([x509.TLSFeatureType.status_request])
    found = probe(odd, tmp_path, odd.issue(HOST, extensions=[(feature, critical)]), status=0)
    assert found == {
        "certificate-must-staple": ("warning", "the certificate demands a stapled OCSP response")
    }


@pytest.mark.parametrize("name", ["*", "mta-sts.example.com."])
def test_name_that_is_none(program, odd, tmp_path, name):
    del program
    found = probe(odd, tmp_path, odd.issue(name, common_name="x"), status=1)
    wanted = f'the certificate has no valid DNS name ("{name}" is none), so it is not for {HOST}'
    assert found == {"certificate-name": ("error", wanted)}


def test_expired_cross_signature_at_the_end(program, odd, tmp_path):
    """Another way leads to an authority; old senders do not find it."""
    del program
    leaf = odd.issue(HOST)
    chain = leaf.chain_pem() + odd.cross_signed(-1).public_bytes(PEM)
    found = probe(odd, tmp_path, leaf, chain=chain, status=0)
    ((code, (level, message)),) = found.items()
    assert (code, level) == ("certificate-cross-expired", "note")
    assert message.startswith("a certificate that is sent without need expired on ")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("size", [15, 17, 40])
def test_certificates_above_16_kb_are_named(program, odd, tmp_path, size, version):
    """Which most senders read, so nothing is said of them."""
    del program
    names = [f"{number:04}.{'x' * 60}.example.net" for number in range(size * 1024 // 80)]
    leaf = odd.issue(HOST, *names)
    found = probe(odd, tmp_path, leaf, status=0 if size < 16 else 1, versions=(version, version))
    found.pop("tls-1.3-only", None)
    assert found == (
        {}
        if size < 16
        else {"certificate-large": ("error", "the server sends certificates of more than 16 KB")}
    )


def costly_key(bits=2048):
    """RSA with an exponent as long as its modulus: checking a signature is as dear as making one."""
    numbers = rsa.generate_private_key(65537, bits).private_numbers()
    p, q = numbers.p, numbers.q
    phi = (p - 1) * (q - 1)
    d = 65537
    e = pow(d, -1, phi)
    public = rsa.RSAPublicNumbers(e, p * q)
    return rsa.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), rsa.rsa_crt_iqmp(p, q), public
    ).private_key()


def test_costly_key_above_the_leaf(program, odd, tmp_path):
    del program
    found = probe(odd, tmp_path, odd.leaf_below(middle_key=costly_key()), status=1)
    wanted = "a key above the certificate has an RSA exponent of more than 32 bits"
    assert found == {"certificate-key-costly": ("error", wanted)}


def test_costly_key_of_the_leaf(program, odd, tmp_path):
    """It is not even used for the handshake."""
    del program
    found = probe(odd, tmp_path, odd.issue(HOST, key=costly_key()), status=1)
    wanted = "the key of the certificate has an RSA exponent of more than 32 bits"
    assert found == {"certificate-key-costly": ("error", wanted)}
