"""Webhooks to addresses that customers name: signed, tried again, kept out of our own networks.

What billing sends of an account's events and the OAuth service of an app's charges has this in common; where
endpoints and deliveries are stored, and what is told, is each service's own.
"""
