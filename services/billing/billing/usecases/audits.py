"""Prove the books."""

from collections.abc import Sequence

from billing.domain.audits import AuditReport, Period, Served, compare_served
from billing.domain.ports import Auditor


async def run_audit(
    auditor: Auditor, served: Sequence[Served] | None = None, period: Period | None = None
) -> AuditReport:
    """All checks in one snapshot; with `served`, also that nobody was billed for more than that."""
    checks = await auditor.run(period)
    if served is not None:
        billed = await auditor.billed([row.request_id for row in served])
        checks.append(compare_served(served, billed))
    return AuditReport(all(check.ok for check in checks), checks)
