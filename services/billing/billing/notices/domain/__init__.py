"""Pure rules of event replay, webhooks and alerts."""
