"""Who may speak to whom over TLS: every node of the cluster, and nobody else.

Keeps: a certificate follows from a secret that all nodes derive from the cluster's key, so there is nothing
to hand out, to renew or to lose; only who has the secret has its private key, and no other certificate is
trusted. While the key is rotated both are trusted, and the one in use is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

from recovery_kits.mirror.relay.order import Credentials

# It ends with the key it follows from, not by a date: clocks play no part.
_FROM, _UNTIL = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
_NAME_DIGITS, _SERIAL_BYTES = 16, 16


def credentials(secrets: Sequence[bytes]) -> Credentials:
    """For 32 bytes each, the ones in use first; the same secrets give the same credentials."""
    keys = [Ed25519PrivateKey.from_private_bytes(secret) for secret in secrets]
    certificates = [_certificate(key) for key in keys]
    private = keys[0].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Credentials(certificates[0], private.decode(), "".join(certificates))


def _certificate(key: Ed25519PrivateKey) -> str:
    """Signed by itself; Ed25519 signs without chance (RFC 8032), so all nodes make the same one."""
    public = key.public_key()
    raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"kagemusha {raw.hex()[:_NAME_DIGITS]}")])
    made = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=public,
        serial_number=int.from_bytes(b"\1" + raw[: _SERIAL_BYTES - 1], "big"),
        not_valid_before=_FROM,
        not_valid_after=_UNTIL,
    ).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return made.sign(key, None).public_bytes(Encoding.PEM).decode()
