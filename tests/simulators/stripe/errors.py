"""Stripe's errors: `{"error": {"type", "code", "message", "param", …}}`, absent fields left out."""


class StripeError(Exception):
    """An error to be answered with; `more` are further fields of the error object.

    `began` is false for refusals before the endpoint ran, which an idempotency key does not keep
    (docs.stripe.com/api/idempotent_requests).
    """

    def __init__(
        self,
        status: int,
        message: str,
        kind: str = "invalid_request_error",
        *,
        code: str | None = None,
        param: str | None = None,
        began: bool = True,
        **more: str,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.began = began
        fields = {"code": code, "message": message, "param": param, "type": kind, **more}
        self.body = {"error": {name: value for name, value in fields.items() if value is not None}}


def invalid(message: str, param: str | None = None, code: str | None = None) -> StripeError:
    """A 400 about the parameters, found before anything was done."""
    return StripeError(400, message, code=code, param=param, began=False)


def refused(message: str, code: str | None = None, param: str | None = None) -> StripeError:
    """A 400 because of the state an object is in."""
    return StripeError(400, message, code=code, param=param)


def missing(kind: str, object_id: str, param: str) -> StripeError:
    """The 404 for an object that is not there (a 400 when another object's parameter names it)."""
    status = 404 if param == "id" else 400
    return StripeError(status, f"No such {kind}: '{object_id}'", code="resource_missing", param=param)


def card_declined(charge_id: str) -> StripeError:
    """The 402 of a payment method that refuses."""
    return StripeError(
        402,
        "Your card was declined.",
        "card_error",
        code="card_declined",
        decline_code="generic_decline",
        charge=charge_id,
    )
