"""What the gateway tells of people."""
