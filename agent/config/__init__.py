"""TOML to a checked model: all errors at once, each with file, line and key."""

from agent.config.load import load, parse

__all__ = ["load", "parse"]
