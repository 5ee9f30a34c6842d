"""An AWS for tests and the demo: moto behind one lock, with faults, a call journal and IMDSv2.

moto alone can't serve here: its conditional writes aren't atomic (two nodes can win one lock), it
can't fail on demand, and it sees every EC2 resource as "*" when IAM is enforced.
"""

from tests.aws_server.control import Control
from tests.aws_server.faults import Call, Rule, latency, throttle
from tests.aws_server.metadata import MetadataServer, Profile
from tests.aws_server.server import AwsServer
from tests.aws_server.world import REGION, World, reference_world

__all__ = [
    "REGION",
    "AwsServer",
    "Call",
    "Control",
    "MetadataServer",
    "Profile",
    "Rule",
    "World",
    "latency",
    "reference_world",
    "throttle",
]
