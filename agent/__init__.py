"""Kagemusha: a per-node agent that keeps services running on a small group of machines."""

__version__ = "0.1.0"
