"""GET and PUT /api/billing/alerts."""

import msgspec
from litestar import Controller, get, put
from litestar.di import NamedDependency
from litestar.params import FromQuery, JSONBody

from billing.domain.leases import is_uuid
from billing.domain.ports import Writer
from billing.notices.domain.alerts import SetAlert
from billing.notices.domain.ports import AlertReader
from billing.notices.usecases.alerts import read_alert, set_alert
from billing.routes.principals import account_of
from common.contracts.errors import InvalidRequestError
from common.contracts.principals import Principal
from common.kit.money import format_usd, parse_usd


class AlertRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`low_balance` is a decimal string of USD above zero; null switches the alert off."""

    low_balance: str | None


class Alerts(msgspec.Struct, frozen=True):
    """What an account wants to be told of."""

    account: str
    low_balance: str | None
    currency: str = "USD"


class AlertController(Controller):
    """Balance alerts."""

    path = "/api/billing/alerts"
    tags = ("billing",)

    @get()
    async def read(
        self,
        principal: NamedDependency[Principal],
        alerts: NamedDependency[AlertReader],
        account: FromQuery[str | None] = None,
    ) -> Alerts:
        """The caller's own; an admin may name another account."""
        account = account_of(principal, account)
        alert_nano = await read_alert(alerts, account) if is_uuid(account) else None
        return _shown(account, alert_nano)

    @put()
    async def replace(
        self,
        principal: NamedDependency[Principal],
        writer: NamedDependency[Writer],
        data: JSONBody[AlertRequest],
        account: FromQuery[str | None] = None,
    ) -> Alerts:
        """Set or switch off; an admin may name another account."""
        account = account_of(principal, account)
        try:
            alert_nano = None if data.low_balance is None else parse_usd(data.low_balance)
        except ValueError as error:
            raise InvalidRequestError(str(error), param="low_balance") from None
        await set_alert(writer, SetAlert(account, alert_nano))
        return _shown(account, alert_nano)


def _shown(account: str, alert_nano: int | None) -> Alerts:
    return Alerts(account, None if alert_nano is None else format_usd(alert_nano))
