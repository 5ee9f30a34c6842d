"""Tells people elsewhere what this node notices: in order, at least once, and never in a decision's way."""
