"""The benchmark: Tollway, a direct call and LiteLLM's proxy against the same upstream, interleaved, in one run."""
