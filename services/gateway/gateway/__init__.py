"""The only public door of Tollway: it knows people and keys, keeps their limits, and hands every other
request to the service that answers it, with a signed principal in place of the credential.
"""
