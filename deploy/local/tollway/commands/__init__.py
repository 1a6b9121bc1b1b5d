"""The command line, one module per noun; each command asks the management API and shows the answer."""
