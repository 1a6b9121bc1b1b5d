"""Access tokens of apps: what one stands for at the gateway."""

import msgspec

from common.contracts.oauth import TokenFound
from common.contracts.principals import Limits
from gateway.domain.keys import KeyFacts

TOKEN_SCOPES = ("relay",)
"""What an app may do here; its other scopes count at the OAuth service; none is `account` or `admin`."""


def token_facts(person: KeyFacts, found: TokenFound) -> KeyFacts:
    """The person's group, rate and models, now and after their plan, spent through the grant."""
    return msgspec.structs.replace(
        person,
        key=found.grant,
        scopes=tuple(scope for scope in found.scopes if scope in TOKEN_SCOPES),
        limits=Limits(budget=found.budget),
        expires_at_s=found.expires_at_s,
        lapsed=None if person.lapsed is None else token_facts(person.lapsed, found),
        spender_kind="grant",
        app=found.app,
        jkt=found.jkt,
    )
