"""OpenID Connect: ID tokens, their keys, and who the person is."""
