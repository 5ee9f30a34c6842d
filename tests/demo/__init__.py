"""`make demo`: the reference cluster loses its active node, and nobody outside notices for long."""
