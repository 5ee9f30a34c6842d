"""Making a node harmless."""
