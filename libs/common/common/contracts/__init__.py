"""The words services exchange: event and RPC Structs, subjects, routes, errors. Imports only msgspec.

Additive change keeps a version; anything else is a new one. Money is integer nano-USD inside and a
decimal string in every public event.
"""
