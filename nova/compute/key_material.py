# SPDX-License-Identifier: Apache-2.0
"""Key pairs of users: reading public keys and certificates, making new ones, fingerprints.

An ssh fingerprint is the MD5 of the key's blob, an x509 one the SHA-1 of the certificate, both in
hex with colons (API reference, Keypairs). Neither is used for security. What reads and makes them is loaded
with the first key: it is 2 MB.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import datetime
import hashlib
from typing import TYPE_CHECKING

from nova.errors import BadRequest

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import rsa

SSH = "ssh"
X509 = "x509"

_BITS = 2048
_COMMENT = "Generated-by-Nova"
_VALID = datetime.timedelta(days=3650)
#: The user principal name, by which Windows maps a client certificate to a user (MS-WCCE).
_PRINCIPAL_NAME = "1.3.6.1.4.1.311.20.2.3"
#: Longest common name of a certificate, bytes (RFC 5280, ub-common-name).
_LONGEST_COMMON_NAME = 64


@dataclasses.dataclass(frozen=True)
class KeyMaterial:
    """A new key pair. ``private_key`` is PEM for ssh and base64 of PKCS #12 for x509."""

    private_key: str
    public_key: str
    fingerprint: str


def fingerprint_of(kind: str, public_key: str) -> str:
    """The fingerprint of an ssh public key or of a PEM certificate.

    Raises ``BadRequest`` for a text that is neither.
    """
    return _ssh_fingerprint(public_key) if kind == SSH else _x509_fingerprint(public_key)


def generate(kind: str, user_id: str) -> KeyMaterial:
    """A new RSA key of 2048 bits: for ssh, or with its own certificate for ``user_id``."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
    return _ssh_material(key) if kind == SSH else _x509_material(key, user_id)


def _colons(digest: bytes) -> str:
    return digest.hex(":")


def _ssh_fingerprint(public_key: str) -> str:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    try:
        serialization.load_ssh_public_key(public_key.encode())
        blob = base64.b64decode(public_key.split()[1], validate=True)
    except (ValueError, UnsupportedAlgorithm, IndexError, binascii.Error):
        raise BadRequest("Keypair data is invalid: failed to generate fingerprint") from None
    return _colons(hashlib.md5(blob, usedforsecurity=False).digest())


def _x509_fingerprint(certificate: str) -> str:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    try:
        loaded = x509.load_pem_x509_certificate(certificate.encode())
    except ValueError:
        raise BadRequest(
            "Keypair data is invalid: failed to generate X509 fingerprint. "
            "It must be a certificate in PEM."
        ) from None
    return _colons(loaded.fingerprint(hashes.SHA1()))  # noqa: S303 - a name, not a signature


def _ssh_material(key: rsa.RSAPrivateKey) -> KeyMaterial:
    from cryptography.hazmat.primitives import serialization

    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    text = f"{public.decode()} {_COMMENT}"
    return KeyMaterial(private, text, _ssh_fingerprint(text))


def _x509_material(key: rsa.RSAPrivateKey, user_id: str) -> KeyMaterial:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.serialization import pkcs12
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

    common = user_id.encode()[:_LONGEST_COMMON_NAME].decode(errors="ignore") or "user"
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
    principal = f"{user_id}@localhost".encode()
    moment = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment)
        .not_valid_after(moment + _VALID)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.OtherName(ObjectIdentifier(_PRINCIPAL_NAME), _der_utf8_string(principal))]
            ),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    private = pkcs12.serialize_key_and_certificates(
        None, key, certificate, None, serialization.NoEncryption()
    )
    text = certificate.public_bytes(serialization.Encoding.PEM).decode()
    return KeyMaterial(base64.b64encode(private).decode(), text, _x509_fingerprint(text))


def _der_utf8_string(data: bytes) -> bytes:
    """A DER UTF8String (X.690: tag 12, length in one byte below 128, else in the long form)."""
    length = len(data)
    if length < 128:
        head = bytes([length])
    else:
        size = length.to_bytes((length.bit_length() + 7) // 8, "big")
        head = bytes([0x80 | len(size)]) + size
    return b"\x0c" + head + data
