"""What the agent decides: pure, deterministic, standard library only.

Events go in, ordered effects come out (`node.Node.step`). No clock, socket, file, thread or
randomness: the same events give the same effects, so a journal replays an incident exactly.
"""
