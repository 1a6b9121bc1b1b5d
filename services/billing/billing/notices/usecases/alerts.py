"""Set and read balance alerts."""

from billing.domain.ports import Writer
from billing.notices.domain.alerts import SetAlert, check_alert
from billing.notices.domain.ports import AlertReader


async def set_alert(writer: Writer, operation: SetAlert) -> None:
    """Put the threshold in force; InvalidRequestError when it is none."""
    check_alert(operation)
    await writer.submit(operation)


async def read_alert(reader: AlertReader, account: str) -> int | None:
    """The threshold in nano-USD; None when no alert is set."""
    return await reader.read(account)
