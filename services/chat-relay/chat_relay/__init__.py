"""The relay: speaks the OpenAI dialect in front of upstream channels and meters what it relays.

It exists apart from the gateway because it holds what must not meet the public (upstream keys) and what must
not be lost (reservations and usage), and scales with streams instead of with logins.
"""
