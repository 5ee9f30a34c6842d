"""Tests, the demo and the bench; never installed."""
