"""The endpoints that apps call by themselves."""
