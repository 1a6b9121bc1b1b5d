"""The whole suite on one machine, and the command that drives it.

`apphost.py` declares what runs and who waits for whom; `supervisor.py` makes it so; `commands/` is the
command line, which talks to the gateway's management API like any client, so it works for a remote suite too.
"""
