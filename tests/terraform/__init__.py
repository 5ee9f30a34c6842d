"""The Terraform modules and the lab: checked by themselves, then applied to the test server."""
