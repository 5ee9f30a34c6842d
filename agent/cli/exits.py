"""Exit codes of `kage`; docs/cli.md tells them to people."""

OK = 0
REFUSED = 1  # refused, failed, or findings
USAGE = 2  # a wrong command line or configuration file
NO_AGENT = 3  # no agent's answer came back
TIMED_OUT = 4  # begun, but not reached in time
INTERRUPTED = 130  # Ctrl-C: 128 + SIGINT
BROKEN_PIPE = 141  # whoever read the output went away: 128 + SIGPIPE
