"""The cluster's figures, measured, against its budgets: `make bench`."""
