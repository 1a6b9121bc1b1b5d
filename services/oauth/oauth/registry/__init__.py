"""Apps and grants, registered and listed by the people they belong to."""
