"""One HTTP API on a Unix socket; every report the CLI and the console show."""
