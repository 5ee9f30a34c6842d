"""The units of systemd/ under a real systemd, as the first process of machines made of namespaces."""
