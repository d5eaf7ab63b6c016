"""Settings of who is let in and how: an authorization server's tokens, and TLS.

Also what every section of :mod:`relentless.configs.settings` stands on.
"""

import ssl
from pathlib import Path
from typing import Annotated, ClassVar, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from relentless.proto.errors import InvalidSettings

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
"""Names of this machine that no other reaches."""
Port = Annotated[int, Field(ge=0, le=65_535)]
Seconds = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """Base of every section."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class OAuthSettings(Section):
    """Access tokens of an authorization server, beside the hub's own API keys."""

    issuer: str
    audience: str | None = None
    """What a token must be for; by default the hub's URL."""
    jwks_url: str | None = None
    """Where the issuer publishes its keys; HTTPS, but for this machine."""
    jwks_file: Path | None = None
    """The same as a file, in place of the URL."""
    name_claim: str = "sub"
    """The claim that names the caller; an agent publishes as this name alone."""
    clock_skew_s: Annotated[float, Field(ge=0, le=300)] = 30.0
    jwks_max_age_s: Seconds = 300.0
    """Seconds after which the keys are fetched again."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.jwks_url is None) == (self.jwks_file is None):
            raise ValueError("set one of jwks_url and jwks_file")
        if self.jwks_url is not None:
            parts = urlsplit(self.jwks_url)
            if parts.scheme != "https" and parts.hostname not in LOOPBACK:
                raise ValueError("jwks_url is https, but for this machine's own")
        return self


class CallerTlsSettings(Section):
    """TLS towards listeners that are not this project's: whom to trust, and what to show."""

    ca: Path | None = None
    """The authority's certificates, PEM; the machine's own where absent."""
    cert: Path | None = None
    """What is shown to a listener that asks for it (mutual TLS); certificate chain, PEM."""
    key: Path | None = None

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key go together")
        return self


class TlsSettings(Section):
    """TLS of one process's listeners, and how this project's own processes call them."""

    cert: Path
    """The certificate chain, PEM."""
    key: Path
    client_ca: Path | None = None
    """Where set, clients must show a certificate of this authority too (mutual TLS)."""
    own_cert: Path | None = None
    """What this project's own processes show where ``client_ca`` is set; certificate chain, PEM."""
    own_key: Path | None = None

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.own_cert is None) != (self.own_key is None):
            raise ValueError("own_cert and own_key go together")
        return self

    def listening(self) -> ssl.SSLContext:
        """Give the listener's side.

        Raises:
            OSError: a file cannot be read, or is no PEM (``ssl.SSLError``).
        """
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.cert, self.key)
        if self.client_ca is not None:
            context.load_verify_locations(self.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def calling(self) -> ssl.SSLContext:
        """Give the side of this project's own processes, which trust the machine's authorities.

        ``SSL_CERT_FILE`` names others.

        Raises:
            OSError: a file cannot be read, or is no PEM (``ssl.SSLError``).
        """
        context = ssl.create_default_context()
        if self.own_cert is not None:
            context.load_cert_chain(self.own_cert, self.own_key)
        return context


class ListenerSettings(Section):
    """A process that others reach over a network: where it listens, and with which TLS."""

    section: ClassVar[str]
    """Its name among the settings."""

    host: str = "127.0.0.1"
    tls: TlsSettings | None = None
    insecure_bind: bool = False
    """Listen beyond this machine without TLS: where something in front has it."""

    def calling(self) -> ssl.SSLContext | None:
        """Give the TLS by which this project's own processes call it, if it has TLS."""
        return None if self.tls is None else self.tls.calling()

    def check_bind(self) -> None:
        """Refuse to carry keys over a network in the clear.

        Raises:
            InvalidSettings: the address is beyond this machine, and there is no TLS.
        """
        if self.tls is None and not self.insecure_bind and self.host not in LOOPBACK:
            name = self.section
            raise InvalidSettings(
                f"the {name} does not listen on {self.host} without TLS: set {name}.tls.cert and "
                f"{name}.tls.key, or {name}.insecure_bind = true where a proxy in front has TLS"
            )
