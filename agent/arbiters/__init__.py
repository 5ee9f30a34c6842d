"""An outside vote: one record for each hierarchy, kept by AWS and written only conditionally."""
