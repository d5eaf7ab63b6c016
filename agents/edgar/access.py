"""How EDGAR is asked: under a contact, within its rate, and with its refusals told apart.

EDGAR answers 403 in three cases. An AccessDenied document in XML means that there is no such file;
a page called "Request Rate Threshold Exceeded" means ten minutes of silence, and
``runtime.answer.failure`` makes it ``SourceRateLimited``; anything else is a refusal.
"""

import re
from typing import Final

from relentless.agents.base import Run
from relentless.agents.http import Source
from relentless.proto.errors import InvalidSettings, SourceRejected

DATA: Final = "sec"
"""data.sec.gov, in the settings."""
ARCHIVE: Final = "sec_archive"
"""www.sec.gov, in the settings. Another host: each source is asked under its own."""
_ABSENT: Final = frozenset({"AccessDenied", "NoSuchKey"})
_CONTACT: Final = re.compile(r"\S+@\S+\.\S+")


def edgar_source(run: Run, name: str) -> Source:
    """Give one of EDGAR's two sources.

    Raises:
        InvalidSettings: the source is live and nobody is named whom the SEC could write to. EDGAR
            blocks such callers; it is not asked at all.
    """
    settings = run.source_settings(name)
    if settings.origin == "live" and not _CONTACT.search(settings.user_agent or ""):
        raise InvalidSettings(
            f"{name}: EDGAR is asked under a contact alone; set SEC_CONTACT to "
            '"Company name contact@mail"'
        )
    return run.source(name)


def is_absent(error: SourceRejected) -> bool:
    """Say whether a refusal means that there is no such file."""
    return error.status in (403, 404) and error.reason in _ABSENT
