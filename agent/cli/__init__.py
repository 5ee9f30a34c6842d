"""`kage`: a client of the API."""
