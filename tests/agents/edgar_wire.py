"""EDGAR's answers over a fake wire, and recorded bodies as answers."""

import hashlib
import json

import httpx

from relentless.agents.http import Answer
from relentless.proto.contexts import Origin


def answer(body, content_type="", value=None):
    """Give a body as the upstream client does."""
    return Answer(
        value=body if value is None else value,
        url="https://www.sec.gov/x",
        sha256=hashlib.sha256(body).hexdigest(),
        origin=Origin.RECORDED,
        headers={"content-type": content_type},
    )


def json_answer(body):
    """Give a JSON body, decoded."""
    return answer(body, "application/json", json.loads(body))


def atom(entries, updated="2013-10-07T05:00:00-04:00"):
    """Write a page of the current feed: (form, name, cik, role, accession, updated, filed)."""
    lines = [
        '<?xml version="1.0" encoding="ISO-8859-1" ?>',
        '<feed xmlns="http://www.w3.org/2005/Atom">',
        f"<title>Latest Filings</title><updated>{updated}</updated>",
    ]
    for form, name, cik, role, accession, at, filed in entries:
        lines.append(
            f"<entry><title>{form} - {name} ({cik:010d}) ({role})</title>"
            f'<summary type="html"> &lt;b&gt;Filed:&lt;/b&gt; {filed} &lt;b&gt;AccNo:&lt;/b&gt; '
            f"{accession} &lt;b&gt;Size:&lt;/b&gt; 4 KB</summary><updated>{at}</updated>"
            f'<category scheme="https://www.sec.gov/" label="form type" term="{form}"/>'
            f"<id>urn:tag:sec.gov,2008:accession-number={accession}</id></entry>"
        )
    return ("\n".join(lines) + "\n</feed>\n").encode("iso-8859-1")


def feed_of(entries, moves=0):
    """Give a handler of the feed; each request finds ``moves`` more filings before the others."""
    asked = []

    def handler(request):
        query = request.url.params
        asked.append(int(query["start"]))
        start = max(int(query["start"]) - moves * (len(asked) - 1), 0)
        page = entries[start : start + int(query["count"])]
        return httpx.Response(200, content=atom(page), headers={"content-type": "text/xml"})

    return handler, asked
