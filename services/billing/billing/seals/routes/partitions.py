"""GET /api/billing/partitions."""

from typing import Any

from litestar import Controller, get
from litestar.di import NamedDependency

from billing.seals.domain.ports import PartitionStore
from billing.seals.usecases.partitions import list_partitions
from common.contracts.principals import Principal


class PartitionController(Controller):
    """Monthly tables, for admins."""

    path = "/api/billing/partitions"
    tags = ("billing",)

    @get()
    async def list_(
        self, principal: NamedDependency[Principal], partitions: NamedDependency[PartitionStore]
    ) -> dict[str, Any]:
        """By name, all at once: a few a month."""
        principal.require_admin()
        rows = [
            {
                "name": row.name,
                "parent": row.parent,
                "month": None if row.month is None else f"{row.month:%Y-%m}",
                "attached": row.attached,
                "bytes": row.bytes,
                "detached_at": None if row.detached_at is None else row.detached_at.isoformat(),
            }
            for row in await list_partitions(partitions)
        ]
        return {"data": rows, "next": None}
