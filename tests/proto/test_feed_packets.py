"""The feed's packets: what is packed is read, cut anywhere, and nonsense is a typed error."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relentless.proto import feed
from relentless.proto.errors import InvalidFrame
from relentless.proto.feed import Accepted, Kind, Login, PacketReader, Why

texts = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60)
sequences = st.integers(0, 2**64 - 1)


def one(packet: bytes) -> tuple[Kind, bytes]:
    (found,) = PacketReader().feed(packet)
    return found


@settings(deadline=None)
@given(texts, texts, sequences)
def test_a_login_is_read_as_it_was_packed(credential: str, session: str, sequence: int) -> None:
    login = Login(credential, session, sequence)
    kind, payload = one(login.pack())
    assert kind is Kind.LOGIN
    assert Login.unpack(payload) == login


@settings(deadline=None)
@given(texts, sequences, sequences)
def test_an_answer_is_read_as_it_was_packed(session: str, sequence: int, head: int) -> None:
    accepted = Accepted(session, sequence, head)
    assert Accepted.unpack(one(accepted.pack())[1]) == accepted


@settings(deadline=None)
@given(sequences, sequences)
def test_sequences_and_gaps_are_read_as_they_were_packed(first: int, second: int) -> None:
    assert feed.unpack_sequence(one(feed.pack_sequence(Kind.REPLAY, first))[1]) == first
    assert feed.unpack_gap(one(feed.pack_gap(first, second))[1]) == (first, second)


@settings(deadline=None)
@given(st.sampled_from(Why), texts)
def test_reasons_are_read_as_they_were_packed(why: Why, text: str) -> None:
    assert feed.unpack_reason(one(feed.pack_reason(Kind.END, why, text))[1]) == (why, text)


def test_a_directory_of_any_size_is_cut_into_packets_that_fit() -> None:
    symbols = [(n, f"S{n}") for n in range(1, 2_502)]
    packets = list(PacketReader().feed(feed.pack_directory(symbols)))
    assert [kind for kind, _ in packets] == [Kind.DIRECTORY] * 3
    assert [pair for _, body in packets for pair in feed.unpack_directory(body)] == symbols


def test_many_frames_are_cut_into_packets_that_fit() -> None:
    frames = bytes(2_500 * 64)
    packets = list(PacketReader().feed(feed.pack_signals(frames)))
    assert [len(body) // 64 for _, body in packets] == [1_000, 1_000, 500]


@settings(deadline=None)
@given(st.lists(st.integers(1, 300), max_size=8), st.data())
def test_packets_are_found_wherever_the_stream_is_cut(
    sizes: list[int], data: st.DataObject
) -> None:
    packets = [feed.packet(Kind.SIGNALS, bytes(size)) for size in sizes]
    stream, reader, found = b"".join(packets), PacketReader(), []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        found += reader.feed(stream[:cut])
        stream = stream[cut:]
    assert [len(body) for _, body in found] == sizes


@pytest.mark.promise("P11")
@settings(deadline=None)
@given(st.binary(max_size=300))
def test_hostile_bytes_give_packets_or_an_invalid_frame(raw: bytes) -> None:
    readers = {
        Kind.LOGIN: Login.unpack,
        Kind.ACCEPTED: Accepted.unpack,
        Kind.REPLAY: feed.unpack_sequence,
        Kind.GAP: feed.unpack_gap,
        Kind.DIRECTORY: feed.unpack_directory,
        Kind.END: feed.unpack_reason,
    }
    for read in readers.values():
        try:
            read(raw)
        except InvalidFrame:
            continue
    with contextlib.suppress(InvalidFrame):
        list(PacketReader(longest=200).feed(raw))


def test_a_packet_that_is_too_long_or_unknown_ends_the_stream() -> None:
    with pytest.raises(InvalidFrame, match="bytes"):
        list(PacketReader(longest=10).feed(feed.packet(Kind.LOGIN, bytes(20))))
    with pytest.raises(InvalidFrame, match="unknown packet type"):
        list(PacketReader().feed(b"\x00\x01?"))


def test_a_field_that_does_not_fit_is_refused_at_the_sender() -> None:
    with pytest.raises(InvalidFrame):
        Login("key", session="s" * 256).pack()
    with pytest.raises(InvalidFrame):
        Login("schlüssel").pack()
