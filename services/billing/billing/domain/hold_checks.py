"""What calls about holds must be, whatever the ledger holds: ids, amounts, words (contracts.holds)."""

import re

from billing.domain.accounts import FEES, REVENUE
from billing.domain.leases import is_uuid
from billing.domain.spenders import check_budget
from common.contracts.errors import InvalidRequestError
from common.contracts.holds import (
    APP_PAYABLE,
    HoldCapture,
    HoldCharge,
    HoldExtend,
    HoldOpen,
    HoldRefund,
    HoldVoid,
)
from common.kit.money import MAX_NANO

MAX_TTL_S = 31 * 86_400
"""What nobody resolved in a month was forgotten."""
MAX_WORDS = 255
_PURPOSE = re.compile(r"[a-z][a-z0-9_.-]{0,31}")
_APP = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def check_open(request: HoldOpen) -> None:
    """Raise InvalidRequestError, naming the field, unless the ledger can hold all of it."""
    for param in ("hold", "account", "spender"):
        _check_id(param, getattr(request, param))
    if not 0 < request.amount_nano <= MAX_NANO:
        raise InvalidRequestError("An amount is above zero and within 64 bits.", param="amount_nano")
    if not 0 < request.ttl_s <= MAX_TTL_S:
        raise InvalidRequestError(f"A hold lives 1 to {MAX_TTL_S} seconds.", param="ttl_s")
    if request.currency != "USD":
        raise InvalidRequestError("The ledger is kept in USD.", param="currency", code="currency_mismatch")
    if not _PURPOSE.fullmatch(request.purpose):
        raise InvalidRequestError("A purpose is a word of at most 32 letters.", param="purpose")
    if request.app:
        check_app(request.app)
    check_words("reference", request.reference)
    check_budget(request.budget)


def check_extend(request: HoldExtend) -> None:
    """As check_open."""
    _check_id("hold", request.hold)
    _check_id("id", request.id)
    if not 0 <= request.more_nano <= MAX_NANO:
        raise InvalidRequestError("An amount is negative or too large.", param="more_nano")
    if not 0 <= request.ttl_s <= MAX_TTL_S:
        raise InvalidRequestError(f"A hold lives at most {MAX_TTL_S} seconds.", param="ttl_s")
    if not (request.more_nano or request.ttl_s):
        raise InvalidRequestError("Neither more nor longer.", param="more_nano")


def check_void(request: HoldVoid) -> None:
    """As check_open."""
    _check_id("hold", request.hold)
    _check_id("id", request.id)


def _check_id(param: str, id_: str) -> None:
    """Raise InvalidRequestError unless it is a UUID."""
    if not is_uuid(id_):
        raise InvalidRequestError(f"{param} is not a UUID.", param=param)


def check_app(app: str) -> None:
    """Raise InvalidRequestError unless it can be an OAuth client id."""
    if not _APP.fullmatch(app):
        raise InvalidRequestError("app is a client id.", param="app")


def check_words(param: str, words: str) -> None:
    """Raise InvalidRequestError unless it has at most 255 characters and no NUL."""
    if len(words) > MAX_WORDS or "\0" in words:
        raise InvalidRequestError(f"At most {MAX_WORDS} characters, no NUL.", param=param)


def check_capture(request: HoldCapture) -> None:
    """Raise InvalidRequestError, naming the field, unless it can be right for some hold."""
    _check_id("hold", request.hold)
    _check_id("id", request.id)
    _check_amount(request.amount_nano)
    names = [credit.account for credit in request.credits]
    if len(set(names)) < len(names):
        raise InvalidRequestError("Each account is credited once.", param="credits")
    if any(name not in (REVENUE, FEES) and not name.startswith(APP_PAYABLE) for name in names):
        raise InvalidRequestError("Credits go to revenue, fees or the app.", param="credits")
    if any(not 0 < credit.amount_nano <= MAX_NANO for credit in request.credits):
        raise InvalidRequestError("A credit is above zero and within 64 bits.", param="credits")


def check_charge(request: HoldCharge) -> None:
    """As check_open and check_capture; the credits fit the hold."""
    opening = request.open
    check_open(opening)
    check_capture(HoldCapture(opening.hold, request.id, opening.amount_nano, request.credits))
    if request.id == opening.hold:
        raise InvalidRequestError("The capture has an id of its own.", param="id")
    if sum(credit.amount_nano for credit in request.credits) != opening.amount_nano:
        raise InvalidRequestError("The credits do not add up to the amount.", param="credits")
    shares = [credit.account for credit in request.credits if credit.account.startswith(APP_PAYABLE)]
    if shares and (shares != [APP_PAYABLE + opening.app] or not opening.app or not opening.paid_only):
        raise InvalidRequestError("Only the hold's own app, with paid_only, is credited.", param="credits")


def check_refund(request: HoldRefund) -> None:
    """As check_capture."""
    _check_id("hold", request.hold)
    _check_id("id", request.id)
    _check_amount(request.amount_nano)
    check_words("reason", request.reason)


def _check_amount(amount_nano: int | None) -> None:
    if amount_nano is not None and not 0 < amount_nano <= MAX_NANO:
        raise InvalidRequestError("An amount is above zero and within 64 bits.", param="amount_nano")
