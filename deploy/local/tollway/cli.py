"""The `tollway` command: `up`, `down`, `status`, and one group of commands for each noun of the suite."""

import typer

from tollway.commands import (
    alerts,
    apps,
    audit,
    channels,
    close,
    codes,
    events,
    grants,
    holds,
    invoices,
    keys,
    margins,
    memberships,
    multipliers,
    partitions,
    payments,
    plans,
    prices,
    reconcile,
    refunds,
    seals,
    suite,
    topup,
    usage,
    users,
    wallet,
    webhooks,
)

app = typer.Typer(
    name="tollway",
    help="Tollway: a self-hosted AI-API relay that keeps the books.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("up")(suite.up)
app.command("down")(suite.down)
app.command("status")(suite.status)
for noun, group in (
    ("users", users.app),
    ("keys", keys.app),
    ("wallet", wallet.app),
    ("usage", usage.app),
    ("holds", holds.app),
    ("refunds", refunds.app),
    ("invoices", invoices.app),
    ("prices", prices.app),
    ("multipliers", multipliers.app),
    ("plans", plans.app),
    ("memberships", memberships.app),
    ("payments", payments.app),
    ("codes", codes.app),
    ("alerts", alerts.app),
    ("webhooks", webhooks.app),
    ("apps", apps.app),
    ("grants", grants.app),
    ("channels", channels.app),
    ("seals", seals.app),
    ("partitions", partitions.app),
):
    app.add_typer(group, name=noun)
topup.register(app)
events.register(app)
audit.register(app)
margins.register(app)
close.register(app)
reconcile.register(app)


def main() -> None:
    """Entry point of the console script."""
    app()


if __name__ == "__main__":
    main()
