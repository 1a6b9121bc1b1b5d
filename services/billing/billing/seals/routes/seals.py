"""/api/billing/seals."""

from typing import Annotated, Any

import msgspec
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, JSONBody, QueryParameter

from billing.domain.audits import parse_period
from billing.seals.domain.ports import SealStore
from billing.seals.domain.seals import ChainReport, Seal
from billing.seals.usecases.seals import list_seals, verify_chain
from common.contracts.errors import InvalidRequestError
from common.contracts.principals import Principal

_DIGEST_BYTES = 32


class VerifyRequest(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"since": "from", "until": "to"}
):
    """`expect` is a digest kept from an earlier list, in hex; `from` and `to` as in an audit."""

    since: str | None = None
    until: str | None = None
    expect: str | None = None


class SealController(Controller):
    """The hash chain, for admins."""

    path = "/api/billing/seals"
    tags = ("billing",)

    @get()
    async def list_(
        self,
        principal: NamedDependency[Principal],
        seals: NamedDependency[SealStore],
        before: FromQuery[int | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50,
    ) -> dict[str, Any]:
        """Newest first; the first one's digest is the head, worth keeping elsewhere."""
        principal.require_admin()
        page = await list_seals(seals, before, limit + 1)
        more = page[limit - 1].number if len(page) > limit else None
        return {"data": [_shown(seal) for seal in page[:limit]], "next": None if more is None else str(more)}

    @post("/verify", status_code=200)
    async def verify(
        self,
        principal: NamedDependency[Principal],
        seals: NamedDependency[SealStore],
        data: JSONBody[VerifyRequest],
    ) -> ChainReport:
        """Recompute the chain from the rows."""
        principal.require_admin()
        expect = None if data.expect is None else _digest(data.expect)
        return await verify_chain(seals, parse_period(data.since, data.until), expect)


def _digest(text: str) -> bytes:
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b""
    if len(digest) != _DIGEST_BYTES:
        raise InvalidRequestError("A digest is 64 hexadecimal digits.", param="expect")
    return digest


def _shown(seal: Seal) -> dict[str, Any]:
    return {
        "number": seal.number,
        "first_position": seal.first_position,
        "last_position": seal.last_position,
        "transfers": seal.transfers,
        "records": seal.records,
        "posted_from": None if seal.posted_from is None else seal.posted_from.isoformat(),
        "posted_to": None if seal.posted_to is None else seal.posted_to.isoformat(),
        "digest": seal.digest.hex(),
        "previous": seal.previous.hex(),
        "sealed_at": seal.sealed_at.isoformat(),
    }
