"""HTTP in: the front that every request passes, the streaming proxy, and the management controllers."""
