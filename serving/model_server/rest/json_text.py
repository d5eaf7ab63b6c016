"""JSON in the dialect of TensorFlow Serving's parser: NaN and Infinity are numbers, errors are its.

Pure. The standard library's parser does the work; what differs from RapidJSON (whole numbers past
64 bits are decimals, the first of two equal keys counts, "Inf" is a number) is put right here. A
body is refused before it is parsed where its brackets alone would cost more memory than is allowed.
Above: ``json_tensor.py`` and ``json_examples.py``.
"""

import json
import re
from itertools import islice
from typing import Any

import numpy as np

from relentless.serving.model_server.codes import INVALID_ARGUMENT
from relentless.serving.model_server.runtime.capi import TFError

MAX_CONTAINERS = 1 << 20
"""Lists and objects of one body: each costs some twenty times its two characters."""

MAX_TEXT = 1024
"""Characters of a JSON value that an error message repeats."""

FLOAT_MAX = float(np.finfo(np.float32).max)

_TYPES = {type(None): "Null", dict: "Object", list: "Array", str: "String"}

_ERRORS = {
    "Expecting value": "Invalid value.",
    "Expecting property name enclosed in double quotes": "Missing a name for object member.",
    "Illegal trailing comma before end of object": "Missing a name for object member.",
    "Illegal trailing comma before end of array": "Invalid value.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Extra data": "The document root must not be followed by other values.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": "Incorrect hex digit after \\u escape in string.",
    "Invalid control character at": "Invalid encoding in string.",
}

_STRING = r'"(?:[^"\\]|\\.)*"'
_OTHER_NAMES = re.compile(_STRING + r"|-NaN|Inf(?!inity)", re.DOTALL)
_BRACKETS = re.compile(_STRING + r"|[\[\]{}]", re.DOTALL)
_LARGE_EXPONENT = re.compile(r"[eE]\+?[0-9]{3}")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def bad(message: str) -> TFError:
    """Give the error of a request that is at fault."""
    return TFError(INVALID_ARGUMENT, message)


def _first_key_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else dict(reversed(pairs))


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise bad("JSON Parse error: Number too big to be stored in double.")
    return value


def _decimal_past_64_bits(text: str) -> int | float:
    return int(text) if len(text) <= 20 else _finite(text)


def parse(body: bytes) -> dict[str, Any]:
    """Read a request's body.

    Raises:
        TFError: INVALID_ARGUMENT for what is no JSON object, is nested too deep or is too large.
    """
    text = body.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    if not text:
        raise bad("JSON Parse error: The document is empty")
    if not text.strip(" \t\r\n"):
        raise bad(f"JSON Parse error: The document is empty. at offset: {len(text)}")
    if body.count(b"[") + body.count(b"{") > MAX_CONTAINERS:
        raise bad(f"JSON Parse error: more than {MAX_CONTAINERS} lists and objects")
    try:
        document = _load(text)
        if _SURROGATE.search(text):
            _refuse_half_surrogates(text)
    except RecursionError as error:
        raise bad("JSON Parse error: nested too deep") from error
    if not isinstance(document, dict):
        raise bad(f"JSON Value: {value_text(document)} Is not object")
    return document


def _load(text: str) -> Any:
    try:
        try:
            return _read(text)
        except json.JSONDecodeError:
            spelt = _OTHER_NAMES.sub(_spell, text)
            if spelt == text:
                raise
            return _read(spelt)
    except json.JSONDecodeError as error:
        raise _parse_error(error) from error


def _read(text: str) -> Any:
    hooks: dict[str, Any] = {"object_pairs_hook": _first_key_wins}
    if _LARGE_EXPONENT.search(text):
        hooks["parse_float"] = _finite
    try:
        return json.loads(text, **hooks)
    except json.JSONDecodeError:
        raise
    except ValueError:  # A whole number of thousands of digits.
        return json.loads(text, parse_int=_decimal_past_64_bits, **hooks)


def _spell(match: re.Match[str]) -> str:
    word = match.group()
    return {"-NaN": "NaN", "Inf": "Infinity"}.get(word, word)


def _refuse_half_surrogates(text: str) -> None:
    """An escape may not name half a character: no encoding of a tensor could hold it."""
    whole = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    try:
        json.dumps(_load(whole), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        message = "JSON Parse error: The surrogate pair in string is invalid."
        raise bad(message) from error


def _parse_error(error: json.JSONDecodeError) -> TFError:
    words = error.msg.rstrip(": ")
    if words == "Expecting ',' delimiter":
        reason = _missing_comma(error.doc, error.pos)
    else:
        reason = _ERRORS.get(words, words)
    offset = len(error.doc[: error.pos].encode("utf-8", "surrogateescape"))
    return bad(f"JSON Parse error: {reason} at offset: {offset}")


def _missing_comma(text: str, at: int) -> str:
    if text[at : at + 1] == "." and text[at - 1 : at].isdigit():
        return "Miss fraction part in number."
    if text[at : at + 1] in ("e", "E") and text[at - 1 : at].isdigit():
        return "Miss exponent in number."
    opened: list[str] = []
    for match in _BRACKETS.finditer(text, 0, at):
        if match.group() in "[{":
            opened.append(match.group())
        elif match.group() in "]}" and opened:
            opened.pop()
    if opened and opened[-1] == "{":
        return "Missing a comma or } after an object member."
    return "Missing a comma or ] after an array element."


def is_decimal(value: Any) -> bool:
    """Tell whether a number is one with a fraction, as far as the parser is concerned."""
    return isinstance(value, float) or not -(1 << 63) <= value < 1 << 64


def as_double(value: float) -> float:
    """Give a JSON number as a double.

    Raises:
        TFError: it is larger than any.
    """
    try:
        return float(value)
    except OverflowError as error:
        message = "JSON Parse error: Number too big to be stored in double."
        raise bad(message) from error


def type_name(value: Any) -> str:
    """Give the name that messages have for a value's type."""
    if isinstance(value, bool):
        return str(value)
    return _TYPES.get(type(value), "Number")


def decimal_text(value: float, digits: int) -> str:
    """Write a decimal as the server does: six digits where they suffice, else ``digits``."""
    text = f"{value:.6g}"
    back = float(text)
    if (float(np.float32(back)) if digits == 9 else back) != value:
        text = f"{value:.{digits}g}"
    return finished(text)


def finished(text: str) -> str:
    """Make the text of a number JSON: a point where neither point nor exponent tells its type."""
    if "." in text or "e" in text:
        return text
    return _NAMES.get(text) or text + ".0"


_NAMES = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def value_text(value: Any) -> str:
    """Write a value for an error message, cut after ``MAX_TEXT`` characters."""
    if isinstance(value, float):
        if abs(value) <= FLOAT_MAX:
            return decimal_text(float(np.float32(value)), 9)
        return decimal_text(value, 17)
    if isinstance(value, str):
        return _cut(json.dumps(value[: MAX_TEXT + 1], ensure_ascii=False))
    encoder = json.JSONEncoder(indent=4, ensure_ascii=False)
    try:
        return _cut("".join(islice(encoder.iterencode(value), MAX_TEXT)))
    except RecursionError:
        return "..."


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "...TRUNCATED"
