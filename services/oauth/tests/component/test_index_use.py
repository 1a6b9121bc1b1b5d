"""What is asked for every request of an app reads a few pages, however many grants and tokens there are."""

from typing import Any

import asyncpg
import msgspec
import pytest

from oauth.adapters.postgres.exchanges import _FIND_CODES, _FIND_REFRESHES
from oauth.adapters.postgres.store import PLANNER
from oauth.adapters.postgres.tokens import _LIVE

PAGES = 20
"""For each: six tables, and as many levels as an index of so many rows has."""
FILL = """
INSERT INTO people (user_id, account)
SELECT gen_random_uuid(), gen_random_uuid() FROM generate_series(1, 2000);
INSERT INTO grants (id, app, user_id, scopes, created_at, updated_at)
SELECT gen_random_uuid(), (SELECT id FROM apps), user_id, '{charge}', now(), now() FROM people;
INSERT INTO families (id, grant_id, scopes, auth_time, created_at, expires_at)
SELECT gen_random_uuid(), id, scopes, now(), now(), now() + interval '1 day' FROM grants;
INSERT INTO access_tokens (digest, family, scopes, issued_at, expires_at)
SELECT sha256(id::text::bytea), id, scopes, now(), expires_at FROM families;
INSERT INTO refresh_tokens (digest, family, issued_at, expires_at)
SELECT sha256(id::text::bytea), id, now(), expires_at FROM families;
INSERT INTO codes (digest, family, redirect_uri, challenge, expires_at)
SELECT sha256(id::text::bytea), id, '', '', expires_at FROM families;
"""


@pytest.mark.parametrize(
    ("statement", "more"), [(_LIVE, ", now()"), (_FIND_CODES, ""), (_FIND_REFRESHES, "")]
)
async def test_ten_tokens_are_found_with_all_they_stand_on_by_a_plan_made_while_there_were_none(
    oauth: Any, statement: str, more: str
) -> None:
    await oauth.app()
    connection = await asyncpg.connect(oauth.dsn, server_settings=PLANNER)
    try:
        kinds = "bytea[], timestamptz" if more else "bytea[]"
        await connection.execute(f"PREPARE found ({kinds}) AS {statement}")
        await connection.execute(f"EXECUTE found ('{{}}'{more})")
        await connection.execute(FILL)
        rows = await connection.fetch("SELECT sha256(id::text::bytea) FROM families LIMIT 10")
        digests = ",".join(f"'\\x{row[0].hex()}'::bytea" for row in rows)
        told = await connection.fetchval(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE found (ARRAY[{digests}]{more})"
        )
    finally:
        await connection.close()
    plan = msgspec.json.decode(told)[0]["Plan"]
    assert plan["Actual Rows"] == 10
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < PAGES * 10
