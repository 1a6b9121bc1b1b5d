"""Groups of users and their multiplier on list price."""

import msgspec

DEFAULT = "default"


class Group(msgspec.Struct, frozen=True):
    """`rate_micro` is the multiplier in millionths."""

    name: str
    rate_micro: int
