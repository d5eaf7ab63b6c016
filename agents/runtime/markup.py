"""XML and HTML from outside, parsed without entities, network or recursion without end. Pure.

lxml does the parsing; what is no whole document is a typed error, never a half-read one.
"""

from lxml import etree, html

from relentless.proto.errors import SourceMalformed


def parse_xml(source: str, body: bytes) -> etree._Element:
    """Read an XML document; its own declaration states the charset.

    Raises:
        SourceMalformed: empty, HTML in its place, cut, not well-formed, or with a DTD of its own.
    """
    if not body.strip():
        raise SourceMalformed(source, "the answer is empty")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=False
    )
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        what = "HTML came in place of XML" if _is_html(body) else f"not well-formed XML: {error}"
        raise SourceMalformed(source, what[:160]) from None
    if _is_html(body):
        raise SourceMalformed(source, "HTML came in place of XML")
    if root.getroottree().docinfo.internalDTD is not None:
        raise SourceMalformed(source, "the XML declares a document type")
    return root


def parse_html(source: str, body: bytes | str) -> html.HtmlElement:
    """Read an HTML page or a piece of one.

    Raises:
        SourceMalformed: empty, or nothing that is markup.
    """
    try:
        root = html.fromstring(body)
    except (etree.ParserError, etree.XMLSyntaxError, ValueError) as error:
        raise SourceMalformed(source, f"no HTML: {error}"[:160]) from None
    return root


def _is_html(body: bytes) -> bool:
    head = body[:512].lstrip().lower()
    return head.startswith((b"<!doctype html", b"<html"))
