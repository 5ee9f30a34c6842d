"""What writes docs/reference, builds the site, and shows that neither is stale."""
