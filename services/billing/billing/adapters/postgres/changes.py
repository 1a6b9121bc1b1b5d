"""Which columns of its rows the ledger writes back: a new one is a line here and one where it is read."""

from billing.adapters.postgres.copy import RowChanges, RowUpdate
from billing.adapters.postgres.holds import HOLD_UPDATE

CHANGES = RowChanges(
    RowUpdate("accounts", {"id": "bigint", "debits": "bigint", "credits": "bigint"}),
    RowUpdate(
        "customers",
        {
            "account": "uuid",
            "usage_sequence": "bigint",
            "billing_sequence": "bigint",
            "low": "boolean",
            "recalled_at": "timestamptz",
            "free_nano": "bigint",
            "debt_nano": "bigint",
            "allowance_until": "timestamptz",
            "alert_nano": "bigint",
            "alerted": "boolean",
            "holds_nano": "bigint",
            "paid_holds_nano": "bigint",
        },
        always="billing_sequence",  # the row is written whenever something of theirs is: see `memory`
        account="id",
    ),
    RowUpdate(
        "spenders",
        {
            "id": "uuid",
            "kind": "text",
            "budget_nano": "bigint",
            "period": "text",
            "window_start": "timestamptz",
            "used_nano": "bigint",
            "held_nano": "bigint",
            "timezone": "text",
            "alert_percent": "integer",
            "max_charge_nano": "bigint",
            "alerted": "boolean",
            "exhausted": "boolean",
        },
    ),
    RowUpdate(
        "leases",
        {
            "id": "uuid",
            "granted_nano": "bigint",
            "spent_nano": "bigint",
            "returned_nano": "bigint",
            "sequence": "bigint",
            "last_answer": "bytea",
            "state": "text",
            "expires_at": "timestamptz",
        },
        last_answer="answer",
    ),
    HOLD_UPDATE,
)
