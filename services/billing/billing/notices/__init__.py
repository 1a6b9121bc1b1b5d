"""What happened, told again and told outside: event replay, webhooks, alerts."""
