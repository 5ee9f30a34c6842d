"""A laboratory of network namespaces: machines, links, a VPC with its router, a client, two agents.

Tests, the demo and the bench share it. It needs root or unprivileged user namespaces, iproute2,
util-linux and nftables, and leaves nothing behind however its user ends (see `machine`).
"""
