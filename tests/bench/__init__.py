"""The benchmark: Tollway, a direct call and LiteLLM's proxy against one upstream, interleaved, in one run."""
