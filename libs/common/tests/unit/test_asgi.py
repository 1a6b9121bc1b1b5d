"""Raw ASGI: bounded bodies, clients that leave."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.contracts.errors import BodyTooLargeError
from common.kit.asgi import ClientGoneError, Message, header, read_body

LIMIT = 1000


class Client:
    """Sends the chunks, the last one marked as such, then nothing more, or leaves before it."""

    def __init__(self, chunks: list[bytes], *, leaves: bool = False) -> None:
        self.messages: list[Message] = [
            {"type": "http.request", "body": chunk, "more_body": leaves or number < len(chunks)}
            for number, chunk in enumerate(chunks, 1)
        ]
        if leaves:
            self.messages.append({"type": "http.disconnect"})

    async def receive(self) -> Message:
        return self.messages.pop(0)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=3))
async def test_a_body_within_the_limit_is_read_whole(chunks: list[bytes]) -> None:
    assert await read_body(Client(chunks).receive, LIMIT) == b"".join(chunks)


@pytest.mark.parametrize("chunks", [[b"x" * 1000], [b"x" * 999, b"x"], [b"x" * 1000, b""]])
async def test_the_limit_itself_is_allowed(chunks: list[bytes]) -> None:
    assert len(await read_body(Client(chunks).receive, LIMIT)) == LIMIT


@pytest.mark.parametrize("chunks", [[b"x" * 1001], [b"x" * 1000, b"x"], [b"x" * 500] * 8])
async def test_a_body_over_the_limit_is_read_to_its_end_and_refused(chunks: list[bytes]) -> None:
    client = Client(chunks)
    with pytest.raises(BodyTooLargeError) as caught:
        await read_body(client.receive, LIMIT)
    assert caught.value.error_status == 413
    assert client.messages == []


async def test_a_body_without_end_is_not_read_for_ever() -> None:
    client = Client([b"x" * 500] * 100)
    with pytest.raises(BodyTooLargeError):
        await read_body(client.receive, LIMIT)
    assert len(client.messages) == 100 - 9


@pytest.mark.parametrize("chunks", [[], [b"x"], [b"x" * 1500]])
async def test_a_client_that_leaves_is_noticed(chunks: list[bytes]) -> None:
    with pytest.raises(ClientGoneError):
        await read_body(Client(chunks, leaves=True).receive, LIMIT)


async def test_a_request_without_body_field_is_empty() -> None:
    async def receive() -> Message:
        return {"type": "http.request"}

    assert await read_body(receive, LIMIT) == b""


def test_the_first_value_of_a_header_is_taken() -> None:
    headers = [(b"a", b"1"), (b"b", b"2"), (b"b", b"3")]
    assert header(headers, b"b") == b"2"
    assert header(headers, b"c") is None
