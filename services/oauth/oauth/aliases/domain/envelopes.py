"""OhMyGPT's dialect: the table of its calls, the envelope of its answers, its names of errors.

Its documents show `issue-token` and `query-user-basic-info`; the other paths follow their pattern.
"""

from collections.abc import Mapping

import msgspec

from common.contracts.errors import ServiceError

PREFIX = "/api/v1/user/oauth"
SCOPE = "general_api_access"
"""Its only scope: all that the app is registered for."""


class Call(msgspec.Struct, frozen=True):
    """`PREFIX/app/<path>` asks the resource `name` with a token of scope `scope`.

    `fields` renames what is answered to what is told; what it does not name is not told, and without it all
    is.
    """

    path: str
    name: str
    scope: str
    message: str
    fields: Mapping[str, str] | None = None


CALLS = (
    Call(
        "query-user-basic-info",
        "userinfo",
        "openid",
        "Query user basic info success",
        {"sub": "userId", "email": "userEmail"},
    ),
    Call(
        "query-user-balance",
        "balance",
        "balance",
        "Query user balance success",
        {"balance": "balance", "free": "free_balance"},
    ),
    Call("charge-user-fee", "charge", "charge", "Charge user fee success"),
    Call("create-stripe-checkout-order", "topup_checkout", "topup", "Create order success"),
    Call("create-stripe-invoice-order", "topup_invoice", "topup", "Create order success"),
    Call("get-admin-token", "management_token", "management_token", "Get admin token success"),
    Call("reset-admin-token", "management_token_reset", "management_token", "Reset admin token success"),
)

_ERROR_TYPES = {
    "invalid_token": "oauth_invalid_token_error",
    "insufficient_balance": "insufficient_balance_error",
}
_INVALID_TOKEN = "Incorrect OAuth token provided. Please try to re-authenticate with the OAuth provider."  # noqa: S105  a sentence


def success(message: str, data: object) -> dict[str, object]:
    """What every answer is wrapped in."""
    return {"statusCode": 200, "message": message, "data": data}


def failure(error: ServiceError) -> dict[str, object]:
    """An error in the same envelope; `errorType` is its code with `_error`, but for two that have names."""
    code = error.error_code
    kind = _ERROR_TYPES.get(code) or (code if code.endswith("_error") else f"{code}_error")
    message = _INVALID_TOKEN if code == "invalid_token" else error.message
    return {"statusCode": error.error_status, "message": message, "errorType": kind, "data": None}


def told(call: Call, answer: Mapping[str, object]) -> dict[str, object]:
    """What the resource answered, under the names of the dialect."""
    if call.fields is None:
        return dict(answer)
    return {name: answer[key] for key, name in call.fields.items() if key in answer}
