"""HTTP of the device flow."""
