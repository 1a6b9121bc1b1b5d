"""Stand-ins for the vendors over a real socket, so that the suite runs and is tested without an account.

Each vendor is a sub-package mounted under its own prefix by `simulators.app.vendors`. What all of them share:
faults scripted by model name (`simulators.faults`), the simulator's own count of what it served and the raw
requests it saw (`simulators.served`), deterministic text and token counts (`simulators.text`).
"""
