"""What each kind of notice means to whoever reads it at night: what the cluster did, and what is left to do.

A table over all kinds; a test holds it complete. What is told as good news leaves nothing to do, whatever
its kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from agent.core.effects import Kind, Notice, Severity

NOTHING = "Nothing."
_WATCH = "Nothing, if it stays at this; `kage status` shows how things stand."


class Words(NamedTuple):
    """One kind's."""

    happened: str
    did: str  # by the cluster, of itself
    left: str  # for people, where the notice is a warning or an alarm


WORDS: Mapping[Kind, Words] = {
    Kind.PATH_UP: Words("A comm path works again.", "It uses the path again.", NOTHING),
    Kind.PATH_DOWN: Words(
        "A comm path is down.",
        "It goes on over the other paths.",
        "Mend that network before the next path fails: `kage nodes` shows which addresses don't "
        "hear each other.",
    ),
    Kind.PEER_ALIVE: Words("A node is heard.", "It counts the node in again.", NOTHING),
    Kind.PEER_LOST: Words(
        "A node is lost: it is silent on every comm path.",
        "What the node ran is taken over where a node may; a notice of its own tells each step.",
        "Find out what became of the node, and start it again: until then there is one node less to "
        "fail over to.",
    ),
    Kind.PEER_LEFT: Words(
        "A node's agent was stopped in good order.",
        "Nothing: what runs there goes on, and nobody takes it over.",
        "Start the agent again (systemctl start kagemusha): until then nothing watches what runs there.",
    ),
    Kind.OWNERSHIP_SOUGHT: Words("This node wants to own a hierarchy.", "It asks the voters.", _WATCH),
    Kind.OWNERSHIP_TAKEN: Words("This node owns a hierarchy.", "It brings it in service here.", NOTHING),
    Kind.OWNERSHIP_RELEASED: Words("This node gave a hierarchy up.", "Another node may take it.", NOTHING),
    Kind.OWNERSHIP_LOST: Words(
        "This node may no longer run a hierarchy.",
        "It makes itself harmless, as on_authority_lost says; a node that a majority allows takes over.",
        "See that the hierarchy runs elsewhere (`kage status` on another node), and why this one lost "
        "its majority.",
    ),
    Kind.OWNERSHIP_DENIED: Words(
        "No majority let this node own a hierarchy.",
        "It asks again, less and less often.",
        "If the hierarchy runs nowhere, bring the missing voters back: `kage status` names the votes.",
    ),
    Kind.ARBITER_TROUBLE: Words(
        "The arbiter's vote can't be had.",
        "It goes on with the nodes' votes, and asks the arbiter again.",
        "Mend the way to the arbiter (network, the role's permissions): while it is away, losing a node too "
        "may leave no majority.",
    ),
    Kind.ARBITER_MENDED: Words("The arbiter answers again.", "It counts its vote again.", NOTHING),
    Kind.DEPARTING: Words(
        "A node's machine is shutting down.",
        "It hands what it runs to other nodes, or stops it, as on_shutdown says; it takes nothing any more.",
        _WATCH,
    ),
    Kind.MOVE_BEGUN: Words("A hierarchy is being moved.", "It stops it here first.", _WATCH),
    Kind.FAILOVER_BEGUN: Words(
        "A hierarchy fails over.",
        "It stops it here and lets another node take it.",
        "See that it arrives (`kage timeline` there), mend what failed here, then `kage recover` it.",
    ),
    Kind.ADOPTED: Words("A hierarchy ran already.", "It touched nothing and looks after it.", NOTHING),
    Kind.ACTION_FINISHED: Words(
        "An action on a resource ended.",
        "It goes on from what came of it; a notice of its own tells what it decides.",
        "See why the action failed: `journalctl -u kagemusha` has what it printed.",
    ),
    Kind.RESOURCE_FAILED: Words(
        "A resource failed.",
        "It repairs it here where the policy allows that; else, or if that fails, the hierarchy moves.",
        "Find out why it failed: `journalctl -u kagemusha` has what its actions printed, `kage status` where "
        "it runs now.",
    ),
    Kind.RESOURCE_RECOVERED: Words("A resource works again.", "It was repaired in place.", NOTHING),
    Kind.RESOURCE_UNKNOWN: Words(
        "A resource is in doubt.",
        "It leaves the resource alone: what isn't known to have failed moves nothing.",
        "Mend what doesn't answer, or is slow (an API, the network, a permission, a disk), and look at "
        "the service itself until then.",
    ),
    Kind.IN_SERVICE: Words("A hierarchy is in service here.", "It watches it.", NOTHING),
    Kind.OUT_OF_SERVICE: Words("A hierarchy is out of service here.", "It stopped all of it.", NOTHING),
    Kind.NOWHERE_TO_GO: Words(
        "A hierarchy has failed, and no node can take it.",
        "It tries again here, again and again.",
        "The service is down: mend what failed, here or on another node, then `kage recover` the resource.",
    ),
    Kind.FAILURES_CLEARED: Words("Failures are forgotten.", "Every node may be tried again.", NOTHING),
    Kind.FENCING_MYSELF: Words(
        "This node makes itself harmless: what it runs can't be stopped, or isn't its to run any more.",
        "It reboots, or does what on_authority_lost or [self_fence] say; another node may take over "
        "afterwards.",
        "See that the hierarchy runs elsewhere, then why it couldn't be stopped here.",
    ),
    Kind.FENCING_PEER: Words(
        "A lost node is being fenced.",
        "It makes the node harmless by the levels of [fencing].",
        "Nothing yet: whether it worked is told by another notice.",
    ),
    Kind.PEER_FENCED: Words(
        "A lost node is certainly harmless.",
        "It takes over what the node owned.",
        "Start that machine again once you know what was wrong with it.",
    ),
    Kind.FENCING_FAILED: Words(
        "There is no evidence that a lost node is harmless.",
        "It tries again; where fencing is required, nothing is taken over until then.",
        "Mend the fencing. If that machine is certainly off, say so: `kage in-service NAME --owner-is-off "
        "NODE`.",
    ),
    Kind.ISOLATED: Words(
        "This node reaches too little outside the cluster.",
        "It takes nothing over, for it may itself be what is cut off.",
        "Mend this node's network; if the addresses of isolation_check are gone for good, replace them.",
    ),
    Kind.UNGUARDED: Words(
        "Something that protects this node is missing.",
        "It goes on, and tries to have it again.",
        "Mend it: an agent that hangs meanwhile might not be ended in time.",
    ),
    Kind.CONFIRMATION: Words(
        "A lost node's hierarchy waits for an operator's word.",
        "It waits, for as long as confirm_failover says.",
        "Find out whether the lost node still runs it, then answer: `kage confirm NAME yes` (or no).",
    ),
    Kind.REPLICA_TRUSTED: Words(
        "It was said which copy of the data counts.",
        "It goes on with that copy.",
        "Writes that only the other copies had are lost: see what that means for the application.",
    ),
    Kind.REPLICAS_CHANGED: Words(
        "Other copies of the data are whole than before.",
        "It goes on with those that are; the others are filled again when their nodes are back.",
        "Bring the missing copy back (`kage mirror status` says what it lacks): until then the data has one "
        "less.",
    ),
    Kind.DUTY_BROKE: Words(
        "What looks after a resource broke off.",
        "It begins it again after a pause; nothing is taken down.",
        "If it comes again, see why: `journalctl -u kagemusha`.",
    ),
    Kind.DESTINATION_FAILED: Words(
        "Notices don't get through to one of their destinations.",
        "It keeps them in order and goes on trying.",
        "Mend that destination, then try it: `kage notify test NAME`.",
    ),
    Kind.DESTINATION_MENDED: Words(
        "A destination takes notices again.", "It sends what had waited, in order.", NOTHING
    ),
    Kind.STORE_FAILED: Words(
        "This node can't write down what it must not forget.",
        "It takes nothing new over, and tries to write again.",
        "Free or mend the disk that holds /var/lib/kagemusha.",
    ),
    Kind.STORE_MENDED: Words("The store can be written again.", "It goes on as before.", NOTHING),
    Kind.CONFIG_LOADED: Words("A configuration or key is in force.", "It works by it from now on.", NOTHING),
    Kind.CONFIG_REFUSED: Words(
        "A changed configuration or key file was refused.",
        "It goes on with the one before.",
        "Correct the file (`kage check` names every problem), then `kage config reload`.",
    ),
    Kind.PAUSED: Words(
        "This node stood still for a while.",
        "It asks whether it may still run what it ran before it does anything.",
        "See what stopped it: a snapshot, a live migration, a machine without CPU or memory to spare.",
    ),
    Kind.COMMAND: Words("An operator asked for something.", "It does so, or said why not.", NOTHING),
}


def left_to_do(notice: Notice) -> str:
    """What is left for people to do, in sentences."""
    return NOTHING if notice.severity is Severity.INFO else WORDS[notice.kind].left
