"""A laboratory of virtual machines: the reference cluster with a kernel of its own in every node.

What `tests.machines` does with namespaces, this does with QEMU guests, for what only a kernel and a disk
can show: md, nbd, a power cut that loses what was not flushed. It needs root, /dev/net/tun, and what
`make lab` builds. It leaves nothing behind however its user ends: every process of it runs inside the
outer machine of `tests.machines`.
"""
