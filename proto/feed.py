"""The signal feed's packets over TCP: pure encoding, shared by server and client.

In SoupBinTCP's manner a packet is a 2-byte big-endian length (of what follows), a 1-byte type and a
payload. ``docs/feed.md`` writes every byte down; this module is what it describes.
"""

import struct
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

from relentless.proto.errors import InvalidFrame
from relentless.proto.signal import SIGNAL_SIZE

PROTOCOL_VERSION = 1
MAX_FRAMES = 1_000
"""Signal frames in one packet."""
MAX_PACKET = 65_535
MAX_CLIENT_PACKET = 1_024
"""The longest packet that a server takes from a client."""

_HEAD = struct.Struct("!Hc")
_SEQUENCE = struct.Struct("!Q")
_LOGIN = struct.Struct("!BQB")
_ACCEPTED = struct.Struct("!BQQB")
_GAP = struct.Struct("!QQ")
_SYMBOL = struct.Struct("!IB")


class Kind(StrEnum):
    """Packet types. A letter is never reused for another meaning."""

    LOGIN = "L"
    REPLAY = "Q"
    ALIVE = "R"
    LOGOUT = "O"
    ACCEPTED = "A"
    REJECTED = "J"
    DIRECTORY = "D"
    SIGNALS = "S"
    HEARTBEAT = "H"
    GAP = "G"
    END = "Z"


class Why(StrEnum):
    """Codes of ``REJECTED`` and ``END``."""

    AUTHENTICATION = "A"
    PROTOCOL = "P"
    SEQUENCE = "S"
    FULL = "F"
    UNAVAILABLE = "U"
    SLOW = "W"
    CLOSING = "C"


class Login(NamedTuple):
    """What a client opens with."""

    credential: str
    session: str = ""
    """The session that ``next_sequence`` belongs to; "" is whichever runs."""
    next_sequence: int = 0
    """The first frame wanted; 0 is live only."""

    def pack(self) -> bytes:
        """Give the whole packet.

        Raises:
            InvalidFrame: a field does not fit.
        """
        try:
            session, credential = self.session.encode("ascii"), self.credential.encode("ascii")
            body = _LOGIN.pack(PROTOCOL_VERSION, self.next_sequence, len(session)) + session
            return packet(Kind.LOGIN, body + struct.pack("!H", len(credential)) + credential)
        except (struct.error, UnicodeEncodeError) as error:
            raise InvalidFrame("a login field does not fit its place") from error

    @classmethod
    def unpack(cls, payload: bytes) -> "Login":
        """Read a payload.

        Raises:
            InvalidFrame: another version, or bytes missing or left over.
        """
        try:
            version, next_sequence, length = _LOGIN.unpack_from(payload)
            at = _LOGIN.size + length
            session = payload[_LOGIN.size : at].decode("ascii")
            (size,) = struct.unpack_from("!H", payload, at)
            credential = payload[at + 2 :].decode("ascii")
        except (struct.error, UnicodeDecodeError) as error:
            raise InvalidFrame("a login packet is cut or not ASCII") from error
        if version != PROTOCOL_VERSION or len(credential) != size:
            raise InvalidFrame(
                f"the login is of version {version} or of the wrong length; "
                f"version {PROTOCOL_VERSION} is spoken here"
            )
        return cls(credential, session, next_sequence)


class Accepted(NamedTuple):
    """The server's answer to a login."""

    session: str
    next_sequence: int
    """The first frame that will come."""
    head: int
    """The sequence that the next new signal will have."""

    def pack(self) -> bytes:
        """Give the whole packet."""
        session = self.session.encode("ascii")
        body = _ACCEPTED.pack(PROTOCOL_VERSION, self.next_sequence, self.head, len(session))
        return packet(Kind.ACCEPTED, body + session)

    @classmethod
    def unpack(cls, payload: bytes) -> "Accepted":
        """Read a payload.

        Raises:
            InvalidFrame: another version, or bytes missing or left over.
        """
        try:
            version, next_sequence, head, length = _ACCEPTED.unpack_from(payload)
            session = payload[_ACCEPTED.size :].decode("ascii")
        except (struct.error, UnicodeDecodeError) as error:
            raise InvalidFrame("an accepted packet is cut or not ASCII") from error
        if version != PROTOCOL_VERSION or len(session) != length:
            raise InvalidFrame("an accepted packet of another version or length")
        return cls(session, next_sequence, head)


def packet(kind: Kind, payload: bytes = b"") -> bytes:
    """Give one packet's bytes."""
    return _HEAD.pack(len(payload) + 1, kind.encode()) + payload


def pack_sequence(kind: Kind, sequence: int) -> bytes:
    """Give a packet that holds one sequence number (``REPLAY``)."""
    return packet(kind, _SEQUENCE.pack(sequence))


def unpack_sequence(payload: bytes) -> int:
    """Read one sequence number.

    Raises:
        InvalidFrame: not eight bytes.
    """
    if len(payload) != _SEQUENCE.size:
        raise InvalidFrame("a replay request holds one 8-byte sequence")
    sequence: int = _SEQUENCE.unpack(payload)[0]
    return sequence


def pack_gap(wanted: int, available: int) -> bytes:
    """Give the packet that says which frames are gone: ``wanted`` up to ``available - 1``."""
    return packet(Kind.GAP, _GAP.pack(wanted, available))


def unpack_gap(payload: bytes) -> tuple[int, int]:
    """Read (wanted, first available).

    Raises:
        InvalidFrame: not sixteen bytes.
    """
    if len(payload) != _GAP.size:
        raise InvalidFrame("a gap packet holds two 8-byte sequences")
    wanted, available = _GAP.unpack(payload)
    return wanted, available


def pack_reason(kind: Kind, why: Why, text: str) -> bytes:
    """Give a packet that says why (``REJECTED``, ``END``)."""
    return packet(kind, why.encode() + text.encode("ascii", "replace")[:200])


def unpack_reason(payload: bytes) -> tuple[Why, str]:
    """Read (code, text).

    Raises:
        InvalidFrame: an unknown code.
    """
    try:
        return Why(payload[:1].decode("ascii")), payload[1:].decode("ascii", "replace")
    except ValueError as error:
        raise InvalidFrame("a packet gives a reason that is unknown here") from error


def pack_directory(symbols: Iterable[tuple[int, str]]) -> bytes:
    """Give as many directory packets as the symbols need, 1,000 in each."""
    entries = [_SYMBOL.pack(n, len(s)) + s.encode("ascii") for n, s in symbols]
    return b"".join(
        packet(Kind.DIRECTORY, b"".join(entries[at : at + 1_000]))
        for at in range(0, len(entries), 1_000)
    )


def unpack_directory(payload: bytes) -> list[tuple[int, str]]:
    """Read (number, symbol) pairs.

    Raises:
        InvalidFrame: cut, or not ASCII.
    """
    found, at = [], 0
    try:
        while at < len(payload):
            number, length = _SYMBOL.unpack_from(payload, at)
            at += _SYMBOL.size + length
            if at > len(payload):
                raise InvalidFrame("a directory packet is cut")
            found.append((number, payload[at - length : at].decode("ascii")))
    except (struct.error, UnicodeDecodeError) as error:
        raise InvalidFrame("a directory packet is cut or not ASCII") from error
    return found


def pack_signals(frames: bytes) -> bytes:
    """Give packets of at most ``MAX_FRAMES`` frames each."""
    step = MAX_FRAMES * SIGNAL_SIZE
    if len(frames) <= step:
        return _HEAD.pack(len(frames) + 1, b"S") + frames
    return b"".join(
        packet(Kind.SIGNALS, frames[at : at + step]) for at in range(0, len(frames), step)
    )


class PacketReader:
    """Cuts a stream of bytes into packets; holds at most one unfinished packet."""

    def __init__(self, longest: int = MAX_PACKET) -> None:
        self._buffer = bytearray()
        self._longest = longest

    def feed(self, data: bytes) -> Iterator[tuple[Kind, bytes]]:
        """Give the packets that are whole now.

        Raises:
            InvalidFrame: an empty or too long packet, or an unknown type; the stream is lost.
        """
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= _HEAD.size:
            length, letter = _HEAD.unpack_from(buffer, at)
            if not 0 < length <= self._longest:
                raise InvalidFrame(f"a packet of {length} bytes; 1 to {self._longest} are allowed")
            end = at + 2 + length
            if end > len(buffer):
                break
            try:
                kind = Kind(letter.decode("ascii"))
            except ValueError as error:
                raise InvalidFrame(f"unknown packet type {letter!r}") from error
            payload = bytes(buffer[at + 3 : end])
            at = end
            yield kind, payload
        del buffer[:at]
