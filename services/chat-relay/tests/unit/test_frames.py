"""A stream's frames, however they arrive."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_relay.domain.errors import UpstreamGoneError
from chat_relay.domain.frames import DONE, MAX_FRAME_BYTES, ChatFrames


def chunk(text: str, finish: str | None = None, **extra: object) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    body = {"id": "c-1", "choices": [choice], "usage": None, **extra}
    return b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"


USAGE = b'data: {"choices":[],"usage": {"prompt_tokens":9,"completion_tokens":4}}\n\n'
TEXTS = ["", "Grüße, 世界 🌍", 'say "usage": {"prompt_tokens": 1}', 'and "error" too', "line\nbreak", "end"]
STREAM = b"".join(chunk(text) for text in TEXTS) + chunk("", "stop") + USAGE + DONE


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    bounds = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(bounds)]


def fed(frames: ChatFrames, pieces: list[bytes]) -> bytes:
    return b"".join(frames.feed(piece) for piece in pieces) + frames.finish()


@given(st.lists(st.integers(min_value=0), max_size=40), st.booleans())
def test_any_split_gives_the_same_bytes_usage_and_end(cuts: list[int], keep: bool) -> None:  # noqa: FBT001
    frames = ChatFrames(keep_usage=keep)
    expected = STREAM if keep else STREAM.replace(USAGE, b"")
    assert fed(frames, split(STREAM, cuts)) == expected
    assert frames.usage is not None
    assert (frames.usage.prompt_tokens, frames.usage.completion_tokens) == (9, 4)
    assert frames.done
    assert frames.complete
    assert not frames.failed


@given(st.lists(st.integers(min_value=0), max_size=40))
def test_crlf_frames_pass_as_they_are(cuts: list[int]) -> None:
    stream = STREAM.replace(b"\n", b"\r\n")
    frames = ChatFrames(keep_usage=True)
    expected = stream.replace(b"data: [DONE]\r\n\r\n", DONE)
    assert fed(frames, split(stream, cuts)) == expected
    assert frames.done


@given(st.lists(st.integers(min_value=0), max_size=40))
def test_noise_is_dropped_wherever_it_is_cut(cuts: list[int]) -> None:
    noise = b": ping\n\nevent: x\nid: 4\n\ndata:\n\nretry: 3\n\n"
    stream = noise + chunk("a") + noise + b"id: 9\n" + chunk("b") + b": x\n" + chunk("c") + noise + DONE
    frames = ChatFrames(keep_usage=False)
    assert fed(frames, split(stream, cuts)) == chunk("a") + chunk("b") + chunk("c") + DONE


def test_data_lines_are_brought_to_the_one_form_every_client_reads() -> None:
    frames = ChatFrames(keep_usage=False)
    assert frames.feed(b'data:{"a":1}\n\n') == b'data: {"a":1}\n\n'
    assert frames.feed(b'data: {"a":\ndata: 1}\n\n') == b'data: {"a": 1}\n\n'


def test_nothing_after_done_passes() -> None:
    frames = ChatFrames(keep_usage=False)
    assert frames.feed(chunk("a") + DONE + chunk("b")) == chunk("a") + DONE
    assert frames.done


def test_an_error_frame_passes_and_is_the_end() -> None:
    error = b'data: {"error":{"message":"overloaded"}}\n\n'
    for before in (b"", chunk("a")):
        frames = ChatFrames(keep_usage=False)
        assert frames.feed(before + error + chunk("b")) == before + error
        assert frames.failed
        assert not frames.complete


def test_a_null_error_is_none() -> None:
    frames = ChatFrames(keep_usage=False)
    frames.feed(chunk("a", "stop", error=None))
    assert frames.complete


@pytest.mark.parametrize(
    "garbage", [b"data: <html>\n\n", b"data: {]\n\n", b'data: {"prompt_tokens" "usage":{}}\n\n']
)
def test_what_is_not_json_breaks_the_stream(garbage: bytes) -> None:
    frames = ChatFrames(keep_usage=False)
    with pytest.raises(UpstreamGoneError):
        frames.feed(garbage)


def test_a_frame_without_end_is_given_up_at_a_mebibyte() -> None:
    frames = ChatFrames(keep_usage=False)
    with pytest.raises(UpstreamGoneError):  # noqa: PT012  the first pieces must pass
        for _ in range(MAX_FRAME_BYTES // 1000 + 2):
            assert frames.feed(b"x" * 1000) == b""


@pytest.mark.parametrize(
    ("stream", "choices", "complete"),
    [
        (chunk("a"), 1, False),
        (chunk("a", "stop"), 1, True),
        (chunk("a", "stop"), 2, False),
        (chunk("a", "stop") + chunk("b", "length"), 2, True),
        (chunk("a") + USAGE, 2, True),
        (b"", 1, False),
    ],
)
def test_the_end_is_known_without_done(stream: bytes, choices: int, *, complete: bool) -> None:
    frames = ChatFrames(keep_usage=False, choices=choices)
    frames.feed(stream)
    assert frames.complete is complete


def test_usage_that_cannot_be_read_is_no_usage() -> None:
    frames = ChatFrames(keep_usage=True)
    odd = b'data: {"choices":[],"usage":{"prompt_tokens":"many"}}\n\n'
    assert frames.feed(odd) == odd
    assert frames.usage is None


@pytest.mark.parametrize("padding", ["", "k3Jw9QvZ2mXa"])
@pytest.mark.parametrize(("word", "tokens"), [(" word", 1.25), ("词", 1)])
def test_the_estimate_counts_text_and_not_envelopes(word: str, tokens: float, padding: str) -> None:
    frames = ChatFrames(keep_usage=False)
    for _ in range(400):
        frames.feed(chunk(word, obfuscation=padding))
    assert 0.9 * tokens * 400 <= frames.output_tokens() <= 1.2 * tokens * 400


def test_memory_does_not_grow_with_the_stream() -> None:
    frames = ChatFrames(keep_usage=False)
    for _ in range(5_000):
        frames.feed(chunk("word "))
    kept = sum(len(part) for part in [*frames._sample, *frames._tail, frames._last, frames._previous])
    assert kept < 16_384
