"""Kits: what restores, removes, checks and recovers one kind of resource on this node."""
