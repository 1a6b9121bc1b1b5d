"""What a request that cannot be paid is told."""

import asyncio

import pytest

from chat_relay.usecases.purses import Waiter, shortage
from common.contracts.leases import LeaseGrant
from common.contracts.principals import SpenderKind

USD = 1_000_000_000


@pytest.mark.parametrize(("kind", "told"), [("key", "$3.5"), ("grant", "")])
async def test_an_app_is_not_told_what_its_person_has(kind: SpenderKind, told: str) -> None:
    waiter = Waiter(9 * USD, 0, 0, asyncio.get_running_loop().create_future())
    grant = LeaseGrant("lease", 1, 0, 2.0, low=True, reason="balance", available_nano=USD * 7 // 2)
    refusal = shortage(waiter, grant, kind)
    assert (refusal.error_code, refusal.error_status) == ("insufficient_quota", 402)
    assert "$9" in refusal.message
    assert ("$3.5" in refusal.message) == (told == "$3.5")
