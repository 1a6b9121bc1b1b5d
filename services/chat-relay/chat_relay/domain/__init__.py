"""Pure rules: bodies, frames, prices, leases, routing. No I/O, no clock, no framework."""
