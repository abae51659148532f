"""A certificate authority for the tests: a root, an intermediate, and leaves of every kind.

Made anew by each run; no key is ever stored in the source tree.
"""

import datetime
import functools
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PEM = serialization.Encoding.PEM
CLEAR = serialization.NoEncryption()
SECRET = serialization.BestAvailableEncryption(b"a password that the server is never told")
PKCS8 = serialization.PrivateFormat.PKCS8
TRADITIONAL = serialization.PrivateFormat.TraditionalOpenSSL

CURVES = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1}


def _new_key(kind):
    if kind in CURVES:
        return ec.generate_private_key(CURVES[kind]())
    return rsa.generate_private_key(65537, int(kind.split()[1]))


@functools.lru_cache(maxsize=None)
def _rsa_key(kind, number):
    """RSA keys take seconds to find, so that certificates of a kind share a few."""
    del number
    return _new_key(kind)


def _name(common_name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(signs_certificates):
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name):
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def write_private(path, data):
    """Writes a file that may hold a key, which nobody else is to read."""
    Path(path).write_bytes(data)
    Path(path).chmod(0o600)


class Leaf:
    """A certificate with its key and the certificates above it."""

    def __init__(self, key, certificate, intermediates, root):
        self.key = key
        self.certificate = certificate
        self.intermediates = intermediates
        self.root = root

    @property
    def der(self):
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def key_pem(self, form=PKCS8, secret=CLEAR):
        """PKCS8 or TRADITIONAL, which is PKCS#1 for RSA and SEC1 for ECDSA."""
        return self.key.private_bytes(PEM, form, secret)

    def leaf_pem(self):
        return self.certificate.public_bytes(PEM)

    def chain_pem(self, *, reverse=False, with_root=False):
        chain = [self.certificate, *self.intermediates]
        if with_root:
            chain.append(self.root)
        if reverse:
            chain.reverse()
        return b"".join(certificate.public_bytes(PEM) for certificate in chain)

    def write(self, folder, *, chain="fullchain.pem", key="privkey.pem", form=PKCS8):
        """Writes the pair as certbot does and returns the folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / chain).write_bytes(self.chain_pem())
        write_private(folder / key, self.key_pem(form))
        return folder

    def write_combined(self, path, *, key_first=False, form=PKCS8):
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        parts = [self.chain_pem(), self.key_pem(form)]
        write_private(path, b"".join(reversed(parts) if key_first else parts))
        return path


class Authority:
    """Issues leaves below one intermediate. root_file is what a client trusts."""

    def __init__(self, folder, *, name="Test", middle_end=3650):
        """middle_end: the day on which the intermediate expires."""
        self._now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
        self._root_key = _new_key("P-256")
        self._middle_key = _new_key("P-256")
        self._middle_name = f"{name} Intermediate"
        root = f"{name} Root"
        self.root = self._sign_authority(root, self._root_key, root, self._root_key, None, 3650)
        self.intermediate = self._sign_authority(
            self._middle_name, self._middle_key, root, self._root_key, 0, middle_end
        )
        self.root_file = Path(folder) / "root.pem"
        self.root_file.write_bytes(self.root.public_bytes(PEM))

    def _builder(self, subject, subject_key, issuer, issuer_key, begin, end):
        public = subject_key.public_key()
        return (
            x509.CertificateBuilder()
            .subject_name(_name(subject))
            .issuer_name(_name(issuer))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False
            )
        )

    def _sign_authority(self, subject, subject_key, issuer, issuer_key, path_length, end_day):
        begin, end = self.day(-30), self.day(end_day)
        builder = self._builder(subject, subject_key, issuer, issuer_key, begin, end)
        builder = builder.add_extension(x509.BasicConstraints(True, path_length), True)
        return builder.add_extension(_key_usage(True), True).sign(issuer_key, hashes.SHA256())

    def day(self, number):
        """The instant that lies so many days from now."""
        return self._now + datetime.timedelta(days=number)

    def issue(
        self,
        *names,
        kind="P-256",
        begin=-1,
        end=90,
        common_name=None,
        key_number=0,
        key=None,
        usage=ExtendedKeyUsageOID.SERVER_AUTH,
        digest=hashes.SHA256,
        self_signed=False,
        extensions=(),
    ):
        """A leaf for the names. kind: P-256, P-384, P-521, "RSA 2048" …; begin, end in days; extensions:
        more of them, each with whether it is critical."""
        if key is None:
            key = _rsa_key(kind, key_number) if kind.startswith("RSA") else _new_key(kind)
        # A common name holds 64 characters at most, and no client of today looks at it.
        subject = common_name or (names[0] if names and len(names[0]) <= 64 else "long")
        issuer, issuer_key = self._middle_name, self._middle_key
        if self_signed:
            issuer, issuer_key = subject, key
        builder = self._builder(
            subject, key, issuer, issuer_key, self.day(begin), self.day(end)
        )
        builder = builder.add_extension(x509.BasicConstraints(False, None), True)
        builder = builder.add_extension(_key_usage(False), True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), False)
        if names:
            alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
            builder = builder.add_extension(alternatives, False)
        for value, critical in extensions:
            builder = builder.add_extension(value, critical)
        certificate = builder.sign(issuer_key, digest())
        return Leaf(key, certificate, [] if self_signed else [self.intermediate], self.root)
