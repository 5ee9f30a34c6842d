"""AWS for everything else here: one bounded session, errors told apart, this machine's identity."""

from agent.aws.errors import AwsError, AwsFault
from agent.aws.metadata import Machine
from agent.aws.session import AwsSession

__all__ = ["AwsError", "AwsFault", "AwsSession", "Machine"]
