"""Plans as the operator writes them, read into numbers and spans of the calendar."""

import calendar
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from billing.domain.allowances import Allowance, Allowances
from common.contracts.bootstrap import AllowanceSpec, PlanSpec, RuleSpec
from common.contracts.errors import InvalidRequestError
from common.kit.money import parse_usd

FILE_SOURCE = "bootstrap"
API_SOURCE = "api"
MAX_PLANS = 50
_MAX_RULES = 20
_MAX_MODELS = 1000
_MAX_NAME = 100
_MAX_RANK = 1_000_000
_MONTHS = {"month": 1, "year": 12}
_DAYS = {"day": 1, "week": 7}
_MAX_COUNT = 1000
_SPAN = re.compile(r"([1-9][0-9]{0,3}) (day|week|month|year)s?")


class Span(msgspec.Struct, frozen=True):
    """Calendar months and days, one of them 0. The 31st of January and a month is the last of February."""

    months: int
    days: int

    def after(self, moment: datetime) -> datetime:
        """The same time of day so much later, in UTC."""
        moment = moment.astimezone(UTC)
        year, month = divmod(moment.year * 12 + moment.month - 1 + self.months, 12)
        last = calendar.monthrange(year, month + 1)[1]
        return moment.replace(year=year, month=month + 1, day=min(moment.day, last)) + timedelta(self.days)


class Rule(msgspec.Struct, frozen=True):
    """`amount_nano` paid `within` the first payment's span gives the plan until `gives` after that first."""

    amount_nano: int
    within: Span
    gives: Span


class Plan(msgspec.Struct, frozen=True):
    """A plan; without `rules` it is what everybody has."""

    name: str
    rank: int
    rules: tuple[Rule, ...]
    allowance: Allowance | None


def read_plans(specs: Sequence[PlanSpec]) -> tuple[Plan, ...]:
    """The plans, highest rank first; InvalidRequestError says what of them cannot be."""
    if len(specs) > MAX_PLANS:
        raise InvalidRequestError(f"More than {MAX_PLANS} plans.", param="plans")
    plans = sorted((_plan(spec) for spec in specs), key=lambda plan: plan.rank, reverse=True)
    for what, values in (("name", [p.name for p in plans]), ("rank", [p.rank for p in plans])):
        if len(set(values)) < len(values):
            raise InvalidRequestError(f"Two plans have the same {what}.", param="plans")
    if any(not plan.rules for plan in plans[:-1]):
        message = "Only one plan may have no rules, and its rank is the lowest: everybody has it."
        raise InvalidRequestError(message, param="plans")
    return tuple(plans)


def base_plan(plans: Iterable[Plan]) -> Plan | None:
    """What everybody has without paying, if there is such a plan."""
    return next((plan for plan in plans if not plan.rules), None)


def allowances_of(plans: Sequence[Plan]) -> Allowances:
    """What the ledger needs to know of them."""
    base = base_plan(plans)
    found = {plan.name: plan.allowance for plan in plans}
    return {**found, "": None if base is None else base.allowance}


def _plan(spec: PlanSpec) -> Plan:
    texts = (spec.name, *(spec.models or ()), *(() if spec.group is None else (spec.group,)))
    if any(not 0 < len(text) <= _MAX_NAME or "\0" in text or text != text.strip() for text in texts):
        raise InvalidRequestError(
            f"plan {spec.name[:_MAX_NAME]!r}: names, groups and models have 1 to {_MAX_NAME} characters.",
            param="plans",
        )
    if len(spec.rules) > _MAX_RULES or len(spec.models or ()) > _MAX_MODELS:
        raise InvalidRequestError(f"plan {spec.name}: too many rules or models.", param="plans")
    if abs(spec.rank) > _MAX_RANK:
        raise InvalidRequestError(f"plan {spec.name}: a rank is at most {_MAX_RANK}.", param="plans")
    try:
        rules = tuple(_rule(rule) for rule in spec.rules)
        allowance = None if spec.allowance is None else _allowance(spec.allowance)
    except ValueError as error:
        raise InvalidRequestError(f"plan {spec.name}: {error}.", param="plans") from None
    return Plan(spec.name, spec.rank, rules, allowance)


def _rule(spec: RuleSpec) -> Rule:
    gives = _span(spec.gives)
    within = gives if spec.within is None else _span(spec.within)
    return Rule(_amount(spec.amount), within, gives)


def _allowance(spec: AllowanceSpec) -> Allowance:
    try:
        ZoneInfo(spec.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"there is no time zone {spec.time_zone[:40]!r}") from None
    return Allowance(_amount(spec.amount), spec.period, spec.time_zone)


def _amount(text: str) -> int:
    amount_nano = parse_usd(text)
    if amount_nano <= 0:
        raise ValueError("an amount is above zero")
    return amount_nano


def _span(text: str) -> Span:
    match = _SPAN.fullmatch(text)
    if match is None or int(match.group(1)) > _MAX_COUNT:
        raise ValueError(f"a span is like `1 month` or `30 days`, not {text[:40]!r}")
    count, unit = int(match.group(1)), match.group(2)
    return Span(count * _MONTHS.get(unit, 0), count * _DAYS.get(unit, 0))
