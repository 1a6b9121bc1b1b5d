"""Pure rules of OAuth: apps, scopes, grants, requests, tokens and proofs."""
