"""Lease calls on their way to billing."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from chat_relay.adapters.nats import NatsBilling
from common.contracts.errors import ConflictError, ServiceError, UnavailableError
from common.contracts.leases import (
    LEASE_CALLS,
    LEASE_CLOSE,
    LEASE_REQUEST,
    LeaseCalls,
    LeaseClose,
    LeaseClosed,
    LeaseGrant,
    LeaseOutcome,
    LeaseOutcomes,
    LeaseRequest,
)
from common.contracts.rpc import RpcError
from common.kit.bus import Bus
from common.kit.ids import uuid7
from common.kit.rpc import RpcClient, RpcServer
from common.kit.telemetry import Telemetry


class CountingBilling:
    """Grants every need and remembers how its calls came; leases named `bad` are refused."""

    def __init__(self) -> None:
        self.alone = 0
        self.together: list[int] = []

    async def request(self, call: LeaseRequest) -> LeaseGrant:
        self.alone += 1
        return LeaseGrant(call.lease, call.sequence, sum(call.needs_nano), 30.0)

    async def close(self, call: LeaseClose) -> LeaseClosed:
        self.alone += 1
        return LeaseClosed(call.lease, call.unspent_nano, 0)

    async def calls(self, calls: LeaseCalls) -> LeaseOutcomes:
        self.together.append(len(calls.requests) + len(calls.closes))
        granted = [
            LeaseOutcome(refused=RpcError.of(ConflictError("No.", param="lease")))
            if call.lease == "bad"
            else LeaseOutcome(granted=LeaseGrant(call.lease, call.sequence, sum(call.needs_nano), 30.0))
            for call in calls.requests
        ]
        closed = [LeaseOutcome(closed=LeaseClosed(call.lease, call.unspent_nano, 0)) for call in calls.closes]
        return LeaseOutcomes((*granted, *closed))


@pytest.fixture
async def peer(nats_url: str) -> AsyncIterator[CountingBilling]:
    """Serves the lease calls."""
    bus = await Bus.connect(nats_url, "billing")
    counting = CountingBilling()
    server = RpcServer(bus, "billing", Telemetry("test", "r", "", 0))
    server.add(LEASE_REQUEST, counting.request)
    server.add(LEASE_CLOSE, counting.close)
    server.add(LEASE_CALLS, counting.calls)
    await server.start()
    yield counting
    await server.stop()
    await bus.close()


@pytest.fixture
async def billing(nats_url: str) -> AsyncIterator[NatsBilling]:
    """The relay's side, on a connection of its own."""
    connection = await Bus.connect(nats_url, "relay")
    yield NatsBilling(RpcClient(connection))
    await connection.close()


def asked(lease: str, *needs_nano: int) -> LeaseRequest:
    return LeaseRequest(lease, 0, "relay-1", uuid7(), uuid7(), needs_nano=needs_nano)


async def test_a_call_travels_alone_when_no_other_is_made_with_it(
    billing: NatsBilling, peer: CountingBilling
) -> None:
    assert (await billing.request_lease(asked("a", 5))).granted_nano == 5
    assert (await billing.close_lease(LeaseClose("a", 1, 5))).returned_nano == 5
    assert (peer.alone, peer.together) == (2, [])


async def test_calls_of_one_turn_travel_together_and_each_gets_its_own_answer(
    billing: NatsBilling, peer: CountingBilling
) -> None:
    leases = [uuid7() for _ in range(300)]
    requests = [billing.request_lease(asked(lease, place)) for place, lease in enumerate(leases)]
    closes = [billing.close_lease(LeaseClose(lease, 1, place)) for place, lease in enumerate(leases)]
    grants, closed = await asyncio.gather(asyncio.gather(*requests), asyncio.gather(*closes))
    assert [(grant.lease, grant.granted_nano) for grant in grants] == list(
        zip(leases, range(300), strict=True)
    )
    assert [(one.lease, one.returned_nano) for one in closed] == list(zip(leases, range(300), strict=True))
    assert peer.alone == 0
    assert sorted(peer.together) == [88, 256, 256]


async def test_a_refusal_meets_its_own_call_alone(billing: NatsBilling, peer: CountingBilling) -> None:
    calls = [billing.request_lease(asked(lease, 1)) for lease in ("a", "bad", "b")]
    first, refused, last = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(refused, ServiceError)
    assert (refused.error_code, refused.error_status, refused.param) == ("conflict", 409, "lease")
    assert isinstance(first, LeaseGrant)
    assert isinstance(last, LeaseGrant)
    assert peer.together == [3]


async def test_a_call_with_many_needs_travels_alone(billing: NatsBilling, peer: CountingBilling) -> None:
    many = billing.request_lease(asked("a", *[1] * 4096))
    grants = await asyncio.gather(many, billing.request_lease(asked("b", 1)))
    assert [grant.granted_nano for grant in grants] == [4096, 1]
    assert (peer.alone, peer.together) == (2, [])


async def test_who_gives_up_does_not_disturb_the_others(billing: NatsBilling, peer: CountingBilling) -> None:
    leaving, staying, other = (
        asyncio.create_task(billing.request_lease(asked(lease, 1))) for lease in ("a", "b", "c")
    )
    await asyncio.sleep(0)  # reason: a turn of the loop, in which all three call
    leaving.cancel()
    assert (await staying).lease == "b"
    assert (await other).lease == "c"
    assert peer.together == [3]


async def test_when_nobody_listens_every_call_is_told_that_nothing_was_done(billing: NatsBilling) -> None:
    calls = [billing.request_lease(asked(lease, 1)) for lease in ("a", "b")]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [UnavailableError, UnavailableError]
