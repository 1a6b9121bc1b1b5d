"""SQL of the device flow."""
