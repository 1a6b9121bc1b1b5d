"""The outside world behind ports: PostgreSQL, the services behind the gateway, argon2."""
