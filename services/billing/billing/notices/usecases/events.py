"""Tell events again."""

from datetime import datetime, timedelta

from billing.notices.domain.events import EventStream, Head, Page, gap_free
from billing.notices.domain.ports import EventLog


async def replay_events(log: EventLog, stream: EventStream, account: str, after: int, limit: int) -> Page:
    """The account's events behind `after` without a gap; EventsExpiredError when the next is not kept."""
    events = await log.of_account(stream, account, after, limit)
    if events and events[0].sequence == after + 1:
        followed = gap_free(events, after, after + 1)
        return Page(followed, followed[-1].sequence)
    heads = await log.heads(account, "", 1)
    last = getattr(heads[0], stream) if heads else 0
    gap_free(events, after, last)
    return Page([], after)


async def replay_everything(log: EventLog, stream: EventStream, after: int, limit: int) -> Page:
    """Everybody's events behind position `after`, in one order."""
    return await log.of_all(stream, after, limit)


async def list_heads(log: EventLog, account: str | None, after: str, limit: int) -> list[Head]:
    """How far the account's streams have come, or everybody's."""
    return await log.heads(account, after, limit)


async def forget_events(log: EventLog, now: datetime, days: int) -> None:
    """Drop the months that ended longer ago than that."""
    await log.prune(now - timedelta(days=days))
