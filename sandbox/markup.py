"""The XML that both services write where nobody asks for JSON.

FRED puts scalars into attributes; Congress.gov puts everything into elements under ``api-root``.
"""

from collections.abc import Mapping
from typing import Any, Final
from xml.etree import ElementTree as Xml

_SINGULAR: Final = {
    "actions": "item",
    "activities": "item",
    "committees": "item",
    "cosponsors": "item",
    "laws": "item",
    "sponsors": "item",
    "titles": "item",
    "bills": "bill",
}


def fred_xml(root: str, body: Mapping[str, Any]) -> bytes:
    """Write a FRED answer: its scalars as attributes, its one list as children.

    The children of ``seriess`` are ``series``; a list of strings becomes elements with text.
    """
    element = Xml.Element(root)
    for name, value in body.items():
        if isinstance(value, list):
            child = "series" if name == "seriess" else name.removesuffix("s")
            for item in value:
                _fred_child(element, child, item)
        else:
            element.set(name, str(value))
    return _document(element)


def congress_xml(body: Mapping[str, Any]) -> bytes:
    """Write a Congress.gov answer: every value an element under ``api-root``."""
    element = Xml.Element("api-root")
    _elements(element, body)
    return _document(element)


def _fred_child(parent: Xml.Element, name: str, item: Any) -> None:
    child = Xml.SubElement(parent, name)
    if not isinstance(item, Mapping):
        child.text = str(item)
        return
    for key, value in item.items():
        if name == "release_date" and key == "date":
            child.text = str(value)
        else:
            child.set(key, str(value))


def _elements(parent: Xml.Element, body: Mapping[str, Any]) -> None:
    for name, value in body.items():
        child = Xml.SubElement(parent, name)
        if isinstance(value, Mapping):
            _elements(child, value)
        elif isinstance(value, list):
            for item in value:
                _elements(Xml.SubElement(child, _SINGULAR.get(name, "item")), item)
        elif value is not None:
            child.text = str(value)


def _document(element: Xml.Element) -> bytes:
    body: bytes = Xml.tostring(element, encoding="utf-8", xml_declaration=True)
    return body
