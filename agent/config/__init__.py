"""TOML to a checked model: all errors at once, each with file, line and key."""
