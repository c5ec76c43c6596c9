"""Frames: whatever way the bytes are cut, the same frames; and nothing is held that is too large."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.errors import BodyTooLarge, HandlerFailed, Malformed
from subnet.frames import CHUNK, END, ERROR, MAX_CLOSING, FrameReader, FrameWriter, frame
from subnet.synapse import Message, Synapse, declaration


class Token(Message):
    text: str


class Generate(Synapse[Token], stream=True, max_chunk=100, max_reply=300):
    prompt: str


FRAMES = st.lists(st.tuples(st.sampled_from((CHUNK, ERROR, END)), st.binary(max_size=50)), max_size=10)


@given(FRAMES, st.data())
def test_bytes_cut_anywhere_give_the_same_frames(frames: list[tuple[int, bytes]], data: st.DataObject) -> None:
    whole = b"".join(frame(kind, payload) for kind, payload in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=10)))
    reader = FrameReader(50, 10_000)
    parts = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    found = [one for part in parts for one in reader.feed(part)]
    assert [(one.kind, one.payload) for one in found] == frames
    assert b"".join(one.raw for one in found) == whole
    assert reader.pending == 0


@given(st.binary(max_size=300))
def test_any_bytes_are_frames_or_one_of_two_errors(data: bytes) -> None:
    reader = FrameReader(50, 200)
    try:
        list(reader.feed(data))
    except (Malformed, BodyTooLarge):
        return
    assert reader.pending <= 5 + MAX_CLOSING


def test_a_frame_that_claims_too_much_is_refused_before_its_bytes_come() -> None:
    with pytest.raises(BodyTooLarge):
        list(FrameReader(50, 10_000).feed(frame(CHUNK, bytes(51))[:5]))
    with pytest.raises(BodyTooLarge):
        list(FrameReader(50, 10_000).feed(frame(END, bytes(MAX_CLOSING + 1))[:5]))
    with pytest.raises(Malformed):
        list(FrameReader(50, 10_000).feed(b"\4\0\0\0\0"))


def test_all_messages_together_are_bounded() -> None:
    reader = FrameReader(50, 109)
    assert len(list(reader.feed(frame(CHUNK, bytes(50)) * 1))) == 1
    with pytest.raises(BodyTooLarge):
        list(reader.feed(frame(CHUNK, bytes(50))))


async def test_the_writer_keeps_to_the_declaration_and_hashes_all_but_the_end() -> None:
    sent = bytearray()

    async def write(data: bytes) -> None:
        sent.extend(data)

    writer = FrameWriter(write, declaration(Generate))
    await writer.message(Token(text="a" * 80))
    with pytest.raises(HandlerFailed):
        await writer.message(Token(text="a" * 100))
    await writer.message(Token(text="b" * 80))
    await writer.message(Token(text="c" * 80))
    with pytest.raises(HandlerFailed):  # 300 bytes in all
        await writer.message(Token(text="d" * 80))
    assert writer.digest == hashlib.sha256(sent).hexdigest()
    await writer.end("")
    assert writer.digest != hashlib.sha256(sent).hexdigest()
    assert writer.sent == len(sent)
    assert [one.kind for one in FrameReader(100, 300).feed(bytes(sent))] == [CHUNK, CHUNK, CHUNK, END]


async def test_in_json_it_is_lines() -> None:
    sent = bytearray()

    async def write(data: bytes) -> None:
        sent.extend(data)

    writer = FrameWriter(write, declaration(Generate), json=True)
    await writer.message(Token(text="a"))
    await writer.error(HandlerFailed("no"))
    await writer.end("r")
    lines = bytes(sent).splitlines()
    assert lines[0] == b'{"message":{"text":"a"}}'
    assert lines[1].startswith(b'{"error":{"code":"wire.handler-failed"')
    assert lines[2] == b'{"end":{"chunks":1,"receipt":"r"}}'
