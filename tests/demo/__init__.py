"""`make demo`: the reference cluster loses networks and nodes, and nobody outside notices for long."""
