"""Identifiers: RFC 9562 as the standard library reads it."""

import time
import uuid

import pytest

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


def test_ids_sort_by_their_millisecond() -> None:
    texts = [uuid7() for _ in range(20_000)]
    assert len(set(texts)) == len(texts)
    stamps = [text[:13] for text in texts]
    assert stamps == sorted(stamps)


def test_every_random_bit_takes_both_values() -> None:
    ones = zeros = 0
    for _ in range(400):
        value = uuid.UUID(uuid7()).int
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
