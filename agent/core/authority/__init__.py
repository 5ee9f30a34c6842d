"""Who may run a hierarchy.

`contract.Authority` is what the rest of the core asks; `liveness_based` answers it in the mode
`quorum = "none"`. Registers, and which of two is the newer, are the same for every mode.
"""
