"""Credentials that must not appear in any output."""

import json
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

CANARY = "canary-93f1"


def service_account(path: Path, token_uri: str) -> Path:
    """A key file with a fresh RSA key and the canary in all that is secret."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    content = {
        "type": "service_account", "project_id": "loopback", "private_key_id": f"{CANARY}-id", "private_key": pem,
        "client_email": "robot@loopback.iam.gserviceaccount.com", "client_id": "1", "token_uri": token_uri,
    }  # fmt: skip
    path.write_text(json.dumps(content))
    return path
