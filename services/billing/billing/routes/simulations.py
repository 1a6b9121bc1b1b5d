"""POST /api/billing/prices/simulate."""

from typing import Annotated, Any

import msgspec
from litestar import Controller, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from billing.domain.leases import is_uuid
from billing.domain.multipliers import multipliers_from_specs
from billing.domain.periods import parse_period
from billing.domain.prices import MAX_NAME, Draft, prices_from_specs
from billing.domain.simulations import Simulation, Sums, UseFilter, check_period, largest
from billing.usecases.simulations import Simulator
from common.contracts.bootstrap import MultiplierSpec, PriceSpec
from common.contracts.errors import InvalidRequestError
from common.contracts.principals import Principal

_DRAFT = "draft"
_Row = dict[str, str | int | None]


class SimulationRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A draft in the form of the bootstrap file, and the usage to price again: times are RFC 3339.

    `model` may end with `*`; `limit` is the most accounts and models that are listed.
    """

    prices: tuple[PriceSpec, ...] = ()
    multipliers: tuple[MultiplierSpec, ...] = ()
    since: str | None = msgspec.field(default=None, name="from")
    until: str | None = msgspec.field(default=None, name="to")
    account: str | None = None
    model: str | None = None
    group: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 100


class SimulationReport(msgspec.Struct, frozen=True):
    """Each row has `requests`, `old`, `new`, `difference` and `percent`, from the most dearer to the most
    cheaper; of more than `limit` those with the largest difference either way. `unpriced` requests have no
    price under the draft and keep their cost.
    """

    total: _Row
    unpriced: int
    accounts: list[_Row]
    accounts_total: int
    models: list[_Row]
    models_total: int
    currency: str = "USD"


class SimulationController(Controller):
    """What a draft of the price book would change."""

    path = "/api/billing/prices/simulate"
    tags = ("billing",)

    @post(status_code=200)
    async def simulate(
        self,
        principal: NamedDependency[Principal],
        simulator: NamedDependency[Simulator],
        data: JSONBody[dict[str, Any]],
    ) -> SimulationReport:
        """Price past usage again under the draft laid over the book; nothing is changed."""
        principal.require_admin()
        try:
            asked = msgspec.convert(data, SimulationRequest)
        except msgspec.ValidationError as error:
            raise InvalidRequestError(str(error)) from None
        draft = Draft(
            prices_from_specs(asked.prices, _DRAFT), multipliers_from_specs(asked.multipliers, _DRAFT)
        )
        simulation = await simulator.simulate(draft, _filter(asked))
        return _report(simulation, asked.limit)


def _filter(asked: SimulationRequest) -> UseFilter:
    period = parse_period(asked.since, asked.until)
    since, until = check_period(period.since, period.until)
    if asked.account is not None and not is_uuid(asked.account):
        raise InvalidRequestError("account is a UUID.", param="account")
    for name in ("model", "group"):
        text = getattr(asked, name)
        if text is not None and ("\0" in text or len(text) > MAX_NAME):
            raise InvalidRequestError(f"{name} is a name.", param=name)
    return UseFilter(since, until, asked.account, asked.model, asked.group)


def _report(simulation: Simulation, limit: int) -> SimulationReport:
    return SimulationReport(
        simulation.total.told(),
        simulation.unpriced,
        _rows("account", largest(simulation.accounts, limit)),
        len(simulation.accounts),
        _rows("model", largest(simulation.models, limit)),
        len(simulation.models),
    )


def _rows(name: str, found: list[tuple[str, Sums]]) -> list[_Row]:
    return [{name: key, **sums.told()} for key, sums in found]
