"""What the gateway says of people, kept here so that a token check asks one database."""

from collections.abc import Mapping

from oauth.domain.ports import Store
from oauth.registry.domain.ports import Directory


async def follow_people(store: Store, directory: Directory, changed: Mapping[str, int]) -> None:
    """Ask about each user and store the answer; `changed` has the number of the event that told of them.

    Answers may be stored in any order, by any replica, and more than once: what was asked after a later
    event stays.
    """
    for user, sequence in changed.items():
        person = await directory.find(user)
        if person is not None:
            async with store.transaction() as work:
                await work.people.follow(person, sequence)
