"""Documents from outside become trees or typed errors."""

import pytest

from relentless.agents.runtime.answer import decode_text
from relentless.agents.runtime.markup import parse_html, parse_xml
from relentless.proto.errors import SourceMalformed

BOMB = b"""<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]><r>&b;</r>"""


def test_a_document_is_read_by_its_own_declaration():
    body = '<?xml version="1.0" encoding="ISO-8859-1"?><r><i>caf\u00e9</i></r>'.encode("latin-1")
    assert parse_xml("sec", body).findtext("i") == "caf\u00e9"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b" ", "empty"),
        (b"<r><i></r>", "not well-formed"),
        (b"<rss><channel><item>", "not well-formed"),
        (b"<!DOCTYPE html><html><body>503</body></html>", "HTML"),
        (b"<html><body><p>503</body></html>", "HTML"),
        (BOMB, "document type"),
        (b"{}", "not well-formed"),
    ],
)
def test_what_is_no_document_is_a_typed_error(body, says):
    with pytest.raises(SourceMalformed, match=says):
        parse_xml("sec", body)


def test_deep_nesting_is_refused():
    with pytest.raises(SourceMalformed):
        parse_xml("sec", b"<a>" * 100_000 + b"</a>" * 100_000)


def test_html_is_read_in_pieces_too():
    assert parse_html("fred_web", "<tr><td>7:30 am</td></tr>").text_content() == "7:30 am"
    with pytest.raises(SourceMalformed):
        parse_html("fred_web", "")


def test_text_is_read_by_mark_header_or_as_utf8():
    assert decode_text("x", "a".encode("utf-16")) == decode_text("x", "\ufeffa".encode()) == "a"
    assert decode_text("x", "\u00e9".encode("latin-1"), "text/csv; charset=ISO-8859-1") == "\u00e9"
    assert decode_text("x", "\u00e9".encode()) == "\u00e9"
    for body, header in ((b"\xff\xfe\xfa", ""), (b"", ""), (b"a", "text/csv; charset=nope")):
        with pytest.raises(SourceMalformed):
            decode_text("x", body, header)
