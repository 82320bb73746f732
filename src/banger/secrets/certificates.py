"""The certificate authority of a VM, and the certificate with which its egress proxy answers. Pure.

An authority's key is made of the seed and the authority's name, each time that it is needed, so
that it stands in no file and is the same for a VM, its forks and its snapshots; only the daemon
has it. The proxy gets a key of its own, which is good for the hosts of the VM's secrets.
`cryptography` is imported when a VM that has secrets starts.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, CertificateBuilder, Name

FIRST, LAST = datetime.datetime(2020, 1, 1), datetime.datetime(2120, 1, 1)
YEARS = datetime.timedelta(days=3650)
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the curve P-256 (SP 800-186, 3.2.1.3)."""
A_DAY = datetime.timedelta(days=1)
"""That a guest's clock may be behind."""


def render_authority(seed: bytes, authority: str) -> bytes:
    """Return the certificate that the guest is to trust, in PEM."""
    from cryptography.hazmat.primitives.serialization import Encoding

    return _certify_authority(seed, authority).public_bytes(Encoding.PEM)


def render_chain(
    seed: bytes, authority: str, hosts: Sequence[str], *, now: datetime.datetime
) -> bytes:
    """Return a line with hosts, and a new key and its certificate for them, in PEM.

    `now` is in UTC, without a zone. The line is none of PEM's, whose readers pass over it.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import ExtendedKeyUsageOID

    key = ec.generate_private_key(ec.SECP256R1())
    signer = _derive_key(seed, authority)
    names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
    certificate = (
        _builder(key, _name("banger"), issuer=_name(authority), ends_at=now + YEARS)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - A_DAY)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .sign(signer, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return f"{' '.join(hosts)}\n".encode() + private + certificate.public_bytes(Encoding.PEM)


def _certify_authority(seed: bytes, authority: str) -> Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256

    key, name = _derive_key(seed, authority), _name(authority)
    uses = dict.fromkeys(
        "content_commitment key_encipherment data_encipherment key_agreement encipher_only "
        "decipher_only".split(),
        False,
    )
    return (
        _builder(key, name, issuer=name, ends_at=LAST)
        .serial_number(int.from_bytes(hashlib.sha256(authority.encode()).digest()[:16]) | 1)
        .not_valid_before(FIRST)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, **uses),
            critical=True,
        )
        .sign(key, SHA256())
    )


def _builder(
    key: EllipticCurvePrivateKey, name: Name, *, issuer: Name, ends_at: datetime.datetime
) -> CertificateBuilder:
    from cryptography import x509

    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(public)
        .not_valid_after(ends_at)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _name(text: str) -> Name:
    from cryptography import x509

    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"banger {text}")])


def _derive_key(seed: bytes, authority: str) -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    wide = hmac.digest(seed, b"authority " + authority.encode(), "sha512")
    # Of 512 bits, so that each key is as likely as any other (FIPS 186-5, A.2.1).
    return ec.derive_private_key(1 + int.from_bytes(wide) % (ORDER - 1), ec.SECP256R1())
