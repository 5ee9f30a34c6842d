"""Who may run a hierarchy.

`contract.Authority` is what the rest of the core asks; `liveness_based` answers it in the mode
`quorum = "none"`, `quorum` in the mode `quorum = "majority"`: as an owner (`tenure`), a candidate
(`campaign`) and a voter (`voting`), over what a node promised (`voter`), holds (`lease`), sees of the
arbiter (`arbitration`) and has on disk (`ledger`). Registers, and which of two is the newer, are the
same for every mode.

Why a majority is safe
----------------------
A node may run a hierarchy only while a majority of voters have an unexpired grant to it (a lease by
quorum: Gray & Cheriton 1989; Trencséni et al. 2012, PaxosLease). Two majorities share a voter, so
it is enough that no voter ever has live grants to two nodes, as each node counts them.

1. *One vote in a term.* A voter's vote (term, candidate) is durable before anybody is told. A grant
   is nothing but the durable vote, said on a heartbeat or in a reply; it is always to the candidate
   of the newest vote. A vote changes only to a higher term. An owner that meets voters whose vote is
   of a higher term, from a campaign that failed, votes for itself once more above that.
2. *The owner's time ends first.* The owner counts a grant for G from the moment it sent the
   heartbeat (or request) that the grant answers. The voter is bound for G and the margin, stretched
   by the drift allowance, from the moment it heard any heartbeat of the owner: every heartbeat that
   it may echo, whether or not that one proves anything itself. It votes for another only when that
   is over. So when it does, the owner has stopped counting it, and has had the margin to become
   harmless.
3. *A grant said late is old.* A heartbeat names the revision of its sender's report; the owner
   counts it only with that very report at hand, and only for the heartbeat of its own that it
   echoes. A voter that is about to vote for another stops saying its old vote in the same step
   (the new one is said once it is durable).
4. *Giving up is for good.* An owner that releases a term says so (`gave_up`), and that life of it
   never again counts a grant up to that term, so its voters are free at once. It says so when nothing
   runs by that term any more, no sooner. Losing a campaign is giving its term up. Another life of the
   owner binds its voters anew by its own heartbeats, and only those are counted.
5. *Restarts.* A restarted voter knows its vote but not until when it is bound: it is bound for one
   full time. It may go on granting the candidate of its durable vote, since a promise is always to
   that one. A restarted owner counts nothing of its former life; it asks to be granted anew.
6. *The arbiter* is a voter that only answers. Its record holds (term, candidate) and changes by
   conditional writes alone. Its vote is taken from another only by a write conditional on a version
   that the candidate has seen unchanged for as long as a voter would be bound; the owner renews it
   by writing, and counts from the moment it sent the write.
7. *The newest register travels with every vote*, and a change within a term is agreed only when it
   is durable at a majority that still votes for its owner. So whoever gets a majority has heard
   from one voter of every earlier agreement, and knows which replicas hold every acknowledged write,
   whether an operator holds the hierarchy, and whether its owner's agent was stopped while it ran.
8. *Harmless in time.* At expiry the owner starts nothing and asks anew for half the margin, then it
   fences itself (or stops everything within `stop_within_ms`, which every candidate waits too). A
   guardian process and a watchdog are told `safe_until` after each step, and end the node by then
   however the agent hangs; a restarted agent tells them nothing before it is granted anew.
"""
