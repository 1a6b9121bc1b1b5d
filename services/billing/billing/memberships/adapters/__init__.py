"""Plans and memberships behind the ports."""
