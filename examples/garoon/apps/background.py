"""Going to the background so that whoever waits knows the program works, and can tell when it has ended.

The program's process number is in a lock file, and the lock is held while it lives: flock(1) on the
file succeeds only when the program is certainly gone, whatever became of its number.
"""

import fcntl
import os
import signal


def detach(lock: str) -> None:
    """Let the caller of this program go on; the rest runs in a session of its own until TERM.

    Raises BlockingIOError if the program runs already.
    """
    descriptor = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if child := os.fork():
        os.ftruncate(descriptor, 0)
        os.write(descriptor, b"%d\n" % child)
        os._exit(0)
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
