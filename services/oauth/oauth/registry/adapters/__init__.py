"""The gateway, asked about people."""
