"""What a second request with the same key gets."""

import pytest

from chat_relay.domain.replays import BUSY_S, KeyReusedError, Remembered, check_repeat, digest_of, name_of
from common.contracts.errors import ConflictError, InvalidRequestError

DIGEST = digest_of("chat", b"{}")


def test_a_finished_request_is_repeated() -> None:
    assert check_repeat(Remembered(DIGEST, 100, "done"), DIGEST, 200) is True


def test_one_under_way_is_waited_for_until_it_must_be_dead() -> None:
    first = Remembered(DIGEST, 100)
    with pytest.raises(ConflictError) as refusal:
        check_repeat(first, DIGEST, 100 + BUSY_S - 1)
    assert refusal.value.retry_after_s == 1
    assert check_repeat(first, DIGEST, 100 + BUSY_S) is False


def test_another_body_or_operation_is_another_request() -> None:
    for other in (digest_of("chat", b"{ }"), digest_of("embeddings", b"{}")):
        with pytest.raises(KeyReusedError):
            check_repeat(Remembered(DIGEST, 100, "done"), other, 100)


def test_spenders_do_not_share_keys() -> None:
    assert name_of("a", b"key") != name_of("b", b"key")
    for key in (b"", b"k" * 256):
        with pytest.raises(InvalidRequestError):
            name_of("a", key)
