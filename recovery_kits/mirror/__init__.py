"""The `mirror` kit: a block device that is kept the same on several nodes, by md and nbd."""
