"""What the cluster promises, shown by real agents in network namespaces."""
