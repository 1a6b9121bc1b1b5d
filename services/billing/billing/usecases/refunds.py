"""Give back what a usage record was charged."""

from billing.domain.hold_checks import check_words
from billing.domain.ports import UsageReader, Writer
from billing.domain.refunds import Refund, RefundCharge, check_refund_amount
from billing.usecases.usage import find_usage


async def refund_charge(
    writer: Writer, usage: UsageReader, id_: str, record: str, amount_nano: int | None, reason: str
) -> Refund:
    """`amount_nano` of the record's charge, None for all that is left, to the wallet; once per `id_`.

    NotFoundError, InvalidRequestError, ExceedsChargeError, ConflictError when the id was used for another.
    """
    check_refund_amount(amount_nano)
    check_words("reason", reason)
    charge = await find_usage(usage, record, None)
    refund: Refund = await writer.submit(RefundCharge(id_, charge, amount_nano, reason))
    return refund
