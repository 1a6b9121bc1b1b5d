"""The front channel: authorization requests, consent, and the code that a browser carries back."""
