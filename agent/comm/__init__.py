"""Bytes between nodes: sealed heartbeats over UDP on every comm path, messages over TCP."""
