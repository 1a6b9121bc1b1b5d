"""What the services share: contracts between them, the service kit, and testing on real parts."""
