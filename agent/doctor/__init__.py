"""Whether the account and the host are as the configuration needs them; it only looks."""
