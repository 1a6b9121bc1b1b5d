"""Become a server: drop to another uid, ask to be signalled when the parent dies, then exec.

Run as a script by `server_process.py`, never imported. A step of its own because both things must happen
inside the child after the fork: the kernel forgets a parent-death signal when the uid changes, and running
Python between fork and exec is not safe in a parent that has threads. Only the standard library is used.

Arguments: parent pid, signal number, uid, gid (-1 keeps the current one), then the command.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # prctl(2)


def main() -> None:
    """Exec the command; exits 1 without it when the parent is already gone."""
    parent, death_signal, uid, gid = (int(word) for word in sys.argv[1:5])
    command = sys.argv[5:]
    if gid >= 0:
        os.setgroups([])
        os.setgid(gid)
    if uid >= 0:
        os.setuid(uid)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit(1)
    # Python ignores SIGPIPE for itself, and an ignored signal stays ignored across exec.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.umask(0o077)
    os.execv(command[0], command)  # noqa: S606  a shell is the last thing wanted here


if __name__ == "__main__":
    main()
