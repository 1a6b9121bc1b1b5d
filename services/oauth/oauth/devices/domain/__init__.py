"""Pure rules of the device flow."""
