"""A process between the kernel's network block device and a target's server: for TLS, and to be behind.

One relay is one connection: it ends with either side of it, and never makes another one. So whoever holds
the other side sees the same as if the network had failed, and decides. It decides nothing itself.
The standard library alone is needed here, and all of it is loaded at the start: an agent that is being
replaced takes nothing away from it.
"""
