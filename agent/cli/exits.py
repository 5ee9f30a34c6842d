"""Exit codes of `kage`."""

from __future__ import annotations

OK = 0
REFUSED = 1
USAGE = 2
NO_AGENT = 3
TIMED_OUT = 4
INTERRUPTED = 130  # 128 + SIGINT
BROKEN_PIPE = 141  # 128 + SIGPIPE

MEANINGS = {  # docs/reference/cli.md tells them to people
    OK: "good",
    REFUSED: "refused, failed, or findings",
    USAGE: "a wrong command line or an invalid configuration",
    NO_AGENT: "no agent's answer came back; a command may or may not have been carried out",
    TIMED_OUT: "begun, but not reached within `--timeout`",
    INTERRUPTED: "ended by Ctrl-C",
    BROKEN_PIPE: "whoever read the output went away",
}
