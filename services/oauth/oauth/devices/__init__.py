"""The device flow (RFC 8628): a person types a short code for an app without a browser."""
