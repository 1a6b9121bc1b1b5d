"""The Idempotency-Key header: the same key of the same caller names the same act."""

from common.contracts.errors import InvalidRequestError
from common.contracts.principals import Principal
from common.kit.ids import named_id, uuid7

MAX_KEY = 255


def operation_id(kind: str, principal: Principal, key: str | None) -> str:
    """The act's id: named by caller and key, a fresh one without a key.

    InvalidRequestError unless the key has 1 to 255 characters. Keys of different kinds of act never meet.
    """
    if key is None:
        return uuid7()
    if not 0 < len(key) <= MAX_KEY:
        raise InvalidRequestError("An idempotency key has 1 to 255 characters.", param="Idempotency-Key")
    return named_id(kind, principal.account, key)
