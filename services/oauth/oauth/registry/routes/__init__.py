"""The management API of apps and grants, and the page of a person's apps."""
