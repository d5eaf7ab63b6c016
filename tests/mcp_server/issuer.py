"""A stand-in for an authorization server: a key pair of its own, a key set, and tokens.

It grants nothing and asks nobody; it signs what a test wants signed.
"""

import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

ISSUER = "https://login.example"
AUDIENCE = "https://hub.example/mcp"


class Issuer:
    """Signs tokens with a key, and publishes it."""

    def __init__(self, key_id: str = "one", algorithm: str = "RS256") -> None:
        self.key_id, self.algorithm = key_id, algorithm
        self.key: Any = (
            ec.generate_private_key(ec.SECP256R1())
            if algorithm == "ES256"
            else rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        )

    def jwk(self) -> dict[str, Any]:
        kind: Any = ECAlgorithm if self.algorithm == "ES256" else RSAAlgorithm
        public = json.loads(kind.to_jwk(self.key.public_key()))
        return {**public, "kid": self.key_id, "use": "sig", "alg": self.algorithm}

    def token(
        self,
        scope: str = "relentless.read",
        *,
        header: dict[str, Any] | None = None,
        key: Any = None,
        algorithm: str | None = None,
        **claims: Any,
    ) -> str:
        """Sign a good token, with claims changed, or left out (None)."""
        now = int(time.time())
        good = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "somebody",
            "client_id": "a-client",
            "iat": now,
            "nbf": now,
            "exp": now + 600,
            "scope": scope,
        }
        body = {name: value for name, value in (good | claims).items() if value is not None}
        head = {"kid": self.key_id, "typ": "at+jwt"} | (header or {})
        head = {name: value for name, value in head.items() if value is not None}
        return jwt.encode(body, key or self.key, algorithm or self.algorithm, headers=head)


def key_set(*issuers: Issuer) -> bytes:
    return json.dumps({"keys": [issuer.jwk() for issuer in issuers]}).encode()
