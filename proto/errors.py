"""The error tree: everything that Relentless itself raises.

An error's class says what went wrong, its ``code`` is the stable name on every wire, ``retryable``
says whether the same call may succeed later, and its message says what to do next.

::

    RelentlessError
    |-- InvalidInput            bad bytes or bad arguments; correct them
    |   |-- InvalidMessage      a context message that breaks its contract
    |   |-- InvalidFrame        a signal, tick or feed frame that breaks its contract
    |   +-- InvalidSettings     a setting or a combination of settings
    |-- AccessDenied
    |   |-- Unauthenticated     no credential, or one that is unknown, expired or revoked
    |   +-- Forbidden           a known caller outside its role, topic or name
    |-- NotFound
    |-- Conflict                the same idempotency key with another body
    |-- Overloaded              a bounded queue is full, or a rate limit is reached (retryable)
    |-- DeadlineExceeded        a wait reached its limit (retryable)
    |-- Unavailable             a part of the system that cannot answer now (retryable)
    |-- StorageError
    |   |-- JournalDamaged      a chain or a digest does not hold; nothing is served from it
    |   |-- JournalBusy         another process owns the file, or the disk is full (retryable)
    |   +-- HeadLost            a hub no longer holds what it acknowledged; said once (retryable)
    |-- SourceError             an upstream source, by name
    |   |-- SourceUnavailable   cut, hung, 5xx, or its breaker is open (retryable)
    |   |-- SourceRateLimited   429; ``retry_after`` in seconds (retryable)
    |   |-- SourceRejected      4xx: the key or the request is wrong
    |   +-- SourceMalformed     an answer that breaks the source's contract
    |-- ModelError
    |   |-- ModelUnavailable    the model server cannot answer (retryable)
    |   |-- ModelRejected       the model server refuses the request
    |   +-- ModelInvalid        a version that fails its digest, signature or parity check
    +-- Gated                   a signal that a gate kept back: halt, lease, stale context, limits
"""

from typing import ClassVar


class RelentlessError(Exception):
    """Base of the tree; the message is for a person and says what to do next."""

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False


class InvalidInput(RelentlessError, ValueError):
    """Bad bytes or bad arguments."""

    code = "invalid_input"


class InvalidMessage(InvalidInput):
    """A context message that breaks its contract."""

    code = "invalid_message"


class InvalidFrame(InvalidInput):
    """A signal, tick or feed frame that breaks its contract."""

    code = "invalid_frame"


class InvalidSettings(InvalidInput):
    """A setting, or a combination of settings, that cannot be used."""

    code = "invalid_settings"


class AccessDenied(RelentlessError):
    """The caller may not do this."""

    code = "access_denied"


class Unauthenticated(AccessDenied):
    """No credential, or one that is unknown, expired or revoked."""

    code = "unauthenticated"


class Forbidden(AccessDenied):
    """A known caller outside its role, its topics or its name."""

    code = "forbidden"


class NotFound(RelentlessError, LookupError):
    """Nothing under that name."""

    code = "not_found"


class Conflict(RelentlessError):
    """The same idempotency key with another body."""

    code = "conflict"


class Overloaded(RelentlessError):
    """A bounded queue is full or a rate limit is reached.

    ``retry_after`` is in seconds, or None where it is not known.
    """

    code = "overloaded"
    retryable = True

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DeadlineExceeded(RelentlessError, TimeoutError):
    """A wait reached its limit."""

    code = "deadline_exceeded"
    retryable = True


class Unavailable(RelentlessError):
    """A part of the system that cannot answer now."""

    code = "unavailable"
    retryable = True


class StorageError(RelentlessError):
    """Something kept on disk."""

    code = "storage"


class JournalDamaged(StorageError):
    """A chain or a digest does not hold; nothing is served from the file."""

    code = "journal_damaged"


class JournalBusy(StorageError):
    """Another process owns the file, or the disk is full."""

    code = "journal_busy"
    retryable = True


class HeadLost(StorageError):
    """A hub no longer holds what it acknowledged; whoever remembered it says so once."""

    code = "head_lost"
    retryable = True


class SourceError(RelentlessError):
    """An upstream source; ``source`` is its name. Messages never hold a key or a full URL."""

    code = "source"

    def __init__(self, source: str, message: str) -> None:
        super().__init__(f"{source}: {message}")
        self.source = source


class SourceUnavailable(SourceError):
    """Cut, hung, 5xx, or the breaker is open."""

    code = "source_unavailable"
    retryable = True


class SourceRateLimited(SourceError):
    """429; ``retry_after`` is in seconds, or None where the source does not say."""

    code = "source_rate_limited"
    retryable = True

    def __init__(self, source: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(source, message)
        self.retry_after = retry_after


class SourceRejected(SourceError):
    """4xx: the key or the request is wrong; ``status`` is the answer's, where there was one.

    ``reason`` is the source's own code, where it gave one in XML: "AccessDenied", "NoSuchKey".
    """

    code = "source_rejected"

    def __init__(
        self, source: str, message: str, status: int | None = None, reason: str | None = None
    ) -> None:
        super().__init__(source, message)
        self.status = status
        self.reason = reason


class SourceMalformed(SourceError):
    """An answer that breaks the source's contract."""

    code = "source_malformed"


class ModelError(RelentlessError):
    """The model server or a model version."""

    code = "model"


class ModelUnavailable(ModelError):
    """The model server cannot answer."""

    code = "model_unavailable"
    retryable = True


class ModelRejected(ModelError):
    """The model server refuses the request."""

    code = "model_rejected"


class ModelInvalid(ModelError):
    """A version that fails its digest, its signatures or its parity check."""

    code = "model_invalid"


class Gated(RelentlessError):
    """A signal that a gate kept back; ``gate`` names it."""

    code = "gated"

    def __init__(self, gate: str, message: str) -> None:
        super().__init__(message)
        self.gate = gate
