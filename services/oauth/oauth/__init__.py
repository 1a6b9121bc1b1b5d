"""OAuth 2: third-party apps sign users in and charge their balance.

A service of its own because it holds what nothing else may see: consent, grants and tokens of other people's
apps. To the rest of the suite a grant is a spender like an API key, with scopes and a budget of its own.
"""
