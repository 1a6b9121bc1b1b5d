"""GET /api/billing/usage/export."""

from typing import Annotated

from litestar import Controller, get
from litestar.di import NamedDependency, Provide
from litestar.params import QueryParameter
from litestar.response import Stream

from billing.domain.ports import UsageReader
from billing.domain.statements import UsageFilter
from billing.routes.usage import END, provide_filter
from billing.statements.domain.exports import columns_of, parse_format, writer_for
from billing.statements.usecases.exports import export_usage
from common.contracts.principals import Principal

_MEDIA_TYPES = {
    "csv": "text/csv; charset=utf-8; header=present",
    "json": "application/json",
    "jsonl": "application/jsonl",
}


class ExportController(Controller):
    """The usage log as a file."""

    path = "/api/billing/usage/export"
    tags = ("billing",)

    @get(dependencies={"wanted": Provide(provide_filter, sync_to_thread=False)})
    async def read(
        self,
        principal: NamedDependency[Principal],
        usage: NamedDependency[UsageReader],
        wanted: NamedDependency[UsageFilter | None],
        format_: Annotated[str, QueryParameter(name="format")],
    ) -> Stream:
        """What GET /api/billing/usage lists with the same filters, whole, as `csv`, `json` or `jsonl`."""
        kind = parse_format(format_)
        admin = principal.is_admin
        writer = writer_for(kind, columns_of(admin=admin))
        return Stream(
            export_usage(usage, wanted, END, writer, admin=admin),
            media_type=_MEDIA_TYPES[kind],
            headers={"content-disposition": f'attachment; filename="{_name(wanted)}.{kind}"'},
        )


def _name(wanted: UsageFilter | None) -> str:
    parts = ["usage"]
    if wanted is not None:
        parts += [f"{moment:%Y%m%dT%H%M%SZ}" for moment in (wanted.since, wanted.until) if moment is not None]
    return "-".join(parts)
