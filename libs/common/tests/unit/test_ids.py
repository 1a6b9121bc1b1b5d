"""Identifiers: RFC 9562 as the standard library reads it."""

import time
import uuid
from itertools import pairwise
from types import SimpleNamespace

import pytest

from common.kit import ids
from common.kit.ids import is_request_id, named_id, uuid7


def test_a_fresh_id_is_a_version_7_uuid_of_now() -> None:
    before_ms = time.time_ns() // 1_000_000
    value = uuid.UUID(uuid7())
    after_ms = time.time_ns() // 1_000_000
    assert value.version == 7
    assert value.variant == uuid.RFC_4122
    assert before_ms <= value.int >> 80 <= after_ms


def test_ids_are_written_as_the_standard_library_writes_them() -> None:
    for _ in range(1000):
        text = uuid7()
        assert str(uuid.UUID(text)) == text


def test_ids_of_one_process_rise_strictly() -> None:
    texts = [uuid7() for _ in range(20_000)]
    assert all(earlier < later for earlier, later in pairwise(texts))


def test_ids_rise_when_the_clock_steps_back_and_go_on_with_it_later(monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = time.time_ns() + 5_000_000_000
    clock = iter([now_ns, now_ns - 60_000_000_000, now_ns - 1_000_000, now_ns + 1_000_000])
    monkeypatch.setattr(ids, "_last", [0])
    monkeypatch.setattr(ids, "time", SimpleNamespace(time_ns=lambda: next(clock)))
    texts = [uuid7() for _ in range(4)]
    assert texts == sorted(set(texts))
    stamps = [uuid.UUID(text).int >> 80 for text in texts]
    assert stamps[0] == stamps[1] == stamps[2] == now_ns // 1_000_000
    assert stamps[3] == now_ns // 1_000_000 + 1


def test_every_random_bit_takes_both_values() -> None:
    ones = zeros = 0
    stamps: set[int] = set()
    while len(stamps) < 40:  # the bits are drawn once a millisecond
        value = uuid.UUID(uuid7()).int
        stamps.add(value >> 80)
        ones |= value
        zeros |= ~value
    random_bits = (0xFFF << 64) | ((1 << 62) - 1)
    assert ones & random_bits == random_bits
    assert zeros & random_bits == random_bits


def test_the_same_words_give_the_same_id_and_other_words_another() -> None:
    assert named_id("grant", "a@b.c") == named_id("grant", "a@b.c")
    assert uuid.UUID(named_id("grant")).version == 5
    assert len({named_id("a", "bc"), named_id("ab", "c"), named_id("abc"), named_id("a", "b", "c")}) == 4


@pytest.mark.parametrize("text", ["12345678", "req_12-34.56:78", "a" * 128])
def test_sane_request_ids_are_kept(text: str) -> None:
    assert is_request_id(text)


@pytest.mark.parametrize(
    "text", ["", "short", "a" * 129, "-2345678", "1234567 8", "12345678\n", "1234567\xe9"]
)
def test_other_request_ids_are_not(text: str) -> None:
    assert not is_request_id(text)
