"""Ready is not yet usable: grants and prices reach the books a moment after the services are up."""

import asyncio
import time
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import httpx

PATIENCE_S = 15.0
POLL_S = 0.05
REQUEST_TIMEOUT_S = 5.0


async def wait_until_usable(url: str, admin_key: str, model: str, granted: Sequence[str]) -> list[str]:
    """Wait until the model is served and the first of the e-mails `granted` has money; at most 15 s.

    Returns what is still missing, in words for an operator: a model without price, money that is spent.
    """
    headers = {"authorization": f"Bearer {admin_key}"}
    async with httpx.AsyncClient(
        base_url=url, headers=headers, timeout=REQUEST_TIMEOUT_S, trust_env=False
    ) as client:
        deadline_s = time.monotonic() + PATIENCE_S
        while missing := await _missing(client, model, granted[:1]):
            if time.monotonic() > deadline_s:
                return missing
            await asyncio.sleep(POLL_S)
    return []


async def _missing(client: httpx.AsyncClient, model: str, granted: Sequence[str]) -> list[str]:
    missing = []
    if model and (await client.get(f"/v1/models/{model}")).status_code != httpx.codes.OK:
        missing.append(f"model {model} is not served: it has no price, or its channel is off")
    poor = [email for email in granted if not await _has_money(client, email)]
    return missing + [f"{email} has no money: tollway topup {email} 5.00" for email in poor]


async def _has_money(client: httpx.AsyncClient, email: str) -> bool:
    users = await _json(client, "/api/users", limit=500)
    for user in users.get("data", []):
        if user["email"] == email.strip().lower():
            wallet = await _json(client, "/api/billing/wallet", account=user["account"])
            return Decimal(wallet.get("balance", "0")) + Decimal(wallet.get("held", "0")) > 0
    return False


async def _json(client: httpx.AsyncClient, path: str, **params: str | int) -> Any:
    answer = await client.get(path, params=params)
    return answer.json() if answer.is_success else {}
