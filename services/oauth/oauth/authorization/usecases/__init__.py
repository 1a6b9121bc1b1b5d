"""What apps and people do at the authorization endpoint."""
