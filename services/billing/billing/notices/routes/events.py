"""GET /events and /events/heads."""

from typing import Annotated

import msgspec
from litestar import Controller, Response, get
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter

from billing.domain.leases import is_uuid
from billing.notices.domain.events import BATCH_TYPE, EventStream, Head, batch
from billing.notices.domain.ports import EventLog
from billing.notices.usecases.events import list_heads, replay_events, replay_everything
from billing.routes.principals import account_of
from common.contracts.errors import InvalidRequestError
from common.contracts.principals import Principal
from common.kit.money import MAX_NANO

NEXT_HEADER = "tollway-next"
_FIRST = "00000000-0000-0000-0000-000000000000"
_MAX = MAX_NANO


class HeadList(msgspec.Struct, frozen=True):
    """By account id; `next` is the `after` of the next page, null at the end."""

    data: list[Head]
    next: str | None


class EventController(Controller):
    """Events told again."""

    path = "/events"
    tags = ("events",)

    @get(media_type=BATCH_TYPE)
    async def replay(
        self,
        principal: NamedDependency[Principal],
        event_log: NamedDependency[EventLog],
        stream: FromQuery[EventStream],
        after: Annotated[int, QueryParameter(ge=0, le=_MAX)] = 0,
        account: FromQuery[str | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50,
    ) -> Response[bytes]:
        """The caller's own events; an admin may name another account, or `all` for one order of everybody's.

        `after` is the sequence of the last event seen; for `all` it is the position that the header
        `tollway-next` of the answer before told. An empty batch is the end for now.
        """
        account = account_of(principal, account)
        if account == "all":
            page = await replay_everything(event_log, stream, after, limit)
        elif is_uuid(account):
            page = await replay_events(event_log, stream, account, after, limit)
        else:
            raise InvalidRequestError("account is a UUID or `all`.", param="account")
        return Response(batch(page.events), headers={NEXT_HEADER: str(page.next)}, media_type=BATCH_TYPE)

    @get("/heads")
    async def heads(
        self,
        principal: NamedDependency[Principal],
        event_log: NamedDependency[EventLog],
        account: FromQuery[str | None] = None,
        after: FromQuery[str] = _FIRST,
        limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50,
    ) -> HeadList:
        """The last sequence of the caller's streams; an admin may name another account, or `all`."""
        account = account_of(principal, account)
        everybody = account == "all"
        if not (everybody or is_uuid(account)):
            return HeadList([], None)
        if not is_uuid(after):
            raise InvalidRequestError("Not a cursor of this list.", param="after")
        found = await list_heads(event_log, None if everybody else account, after, limit + 1)
        page = found[:limit]
        return HeadList(page, page[-1].account if len(found) > limit else None)
