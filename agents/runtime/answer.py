"""What an upstream source answered, checked and decoded; nothing here does I/O.

A body is either the JSON that the source's contract promises or a typed error: an HTML page, a
cut document, another charset or ``NaN`` never become a value.
"""

import codecs
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

from relentless.proto.contexts import Origin
from relentless.proto.errors import (
    SourceError,
    SourceMalformed,
    SourceRateLimited,
    SourceRejected,
    SourceUnavailable,
)
from relentless.proto.messages import Evidence

ORIGIN_HEADER = "x-relentless-origin"
THROTTLED = b"Request Rate Threshold Exceeded"
"""The title of EDGAR's throttle page."""
THROTTLED_S = 600.0
"""How long EDGAR's throttle lasts, by its own words."""
_CODE = re.compile(rb"(?:<\?xml[^>]*>\s*)?<Error>\s*<Code>([A-Za-z]{1,40})</Code>")


@dataclass(frozen=True, slots=True)
class Answer:
    """One decoded answer and where it came from."""

    value: Any
    """The decoded JSON, or the body as it came."""
    url: str
    """Without secrets."""
    sha256: str
    """Of the raw body."""
    origin: Origin
    headers: Mapping[str, str]

    def evidence(
        self, source: str, *, upstream_timestamp: str | None = None, note: str | None = None
    ) -> Evidence:
        """Give the evidence of a message that was read from this answer."""
        return Evidence(
            source=source,
            url=self.url if len(self.url) <= 1_000 else None,
            sha256=self.sha256,
            upstream_timestamp=upstream_timestamp,
            origin=self.origin,
            note=note,
        )


def decode_json(source: str, body: bytes, content_type: str = "") -> Any:
    """Read a JSON body. JSON on the wire is UTF-8, whatever the header says.

    Raises:
        SourceMalformed: empty, HTML or XML, not UTF-8, cut, or not JSON (``NaN`` included).
    """
    head = body[:64].lstrip()
    if not head:
        raise SourceMalformed(source, "the answer is empty")
    if head.startswith(b"<"):
        kind = "HTML" if "html" in content_type or b"html" in head.lower() else "XML"
        raise SourceMalformed(source, f"{kind} came in place of JSON")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceMalformed(source, f"the answer is not UTF-8 at byte {error.start}") from None
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        reason = str(error)[:120] or type(error).__name__
        raise SourceMalformed(source, f"the answer is not JSON: {reason}") from None


def decode_text(source: str, body: bytes, content_type: str = "") -> str:
    """Read a text body by its byte-order mark, else the charset of the header, else as UTF-8.

    Raises:
        SourceMalformed: empty, or not in that charset.
    """
    if not body.strip():
        raise SourceMalformed(source, "the answer is empty")
    stated = _CHARSET.search(content_type)
    charset = next((name for mark, name in _MARKS if body.startswith(mark)), None)
    charset = charset or (stated[1] if stated else "utf-8")
    try:
        return body.decode(charset)
    except (LookupError, UnicodeDecodeError):
        raise SourceMalformed(source, f"the answer is not {charset[:20]}") from None


_CHARSET = re.compile(r"charset=[\"']?([\w.:-]+)", re.IGNORECASE)
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def origin_of(headers: Mapping[str, str], default: Origin) -> Origin:
    """Give the origin that the sandbox states. A header cannot claim that data is live."""
    stated = headers.get(ORIGIN_HEADER, "").strip().lower()
    return Origin(stated) if stated in (Origin.RECORDED, Origin.SYNTHETIC) else default


def failure(
    source: str, what: str, status: int, headers: Mapping[str, str], body: bytes
) -> SourceError | None:
    """Give the typed error of a status, or None for a success. ``what`` holds no secret.

    A page that says that too many requests came is a rate limit whatever its status: EDGAR sends
    one with 403 and stays silent for ten minutes, longer where it is asked again.
    """
    if 200 <= status < 300:
        return None
    if status in (403, 429, 503) and THROTTLED in body[:4_096]:
        wait = retry_after(headers.get("retry-after")) or THROTTLED_S
        return SourceRateLimited(source, f"{what}: {status}, request rate exceeded", wait)
    if status == 429:
        wait = retry_after(headers.get("retry-after"))
        return SourceRateLimited(source, f"{what}: 429, too many requests", wait)
    if status >= 500 or status == 408:
        return SourceUnavailable(source, f"{what}: {status}")
    reason = _reason(body)
    said = f", {reason}" if reason else _said(body)
    return SourceRejected(source, f"{what}: {status}{said}", status, reason)


def _reason(body: bytes) -> str | None:
    """Give the code of an object store's refusal: ``<Error><Code>AccessDenied</Code>...``."""
    found = _CODE.match(body[:1_024].lstrip())
    return found[1].decode() if found else None


def _said(body: bytes) -> str:
    """Give a source's own short explanation of a refusal, where it wrote one."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    said = value.get("error_message") or value.get("error") if isinstance(value, dict) else None
    if isinstance(said, dict):
        said = said.get("message")
    return f", {' '.join(said.split())[:160]}" if isinstance(said, str) else ""


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Read a Retry-After header, seconds or an HTTP date, as seconds from now, at least 0."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())


def redact(text: str, secrets: Iterable[str]) -> str:
    """Put ``***`` where a secret stands."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return text
