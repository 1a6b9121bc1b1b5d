"""Tables of the gateway, one module per noun."""
