"""Other providers' paths and envelopes, as tables over the same use-cases."""
