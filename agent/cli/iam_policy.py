"""`kage iam-policy`: the least that a node's role must be allowed, for exactly this configuration."""

from __future__ import annotations

from argparse import Namespace

from agent.aws import AwsError
from agent.aws.metadata import read_account
from agent.aws.policy import LONGEST_INLINE, Home, document, size
from agent.aws.session import METADATA_TIMEOUT_S
from agent.cli import exits
from agent.cli.output import complain, print_json
from agent.config.errors import ConfigError
from agent.config.load import load
from agent.doctor.describing import PERMISSION
from agent.doctor.permissions import permissions
from recovery_kits.registry import kits


def show_policy(options: Namespace) -> int:
    """Print the policy; what it couldn't be made exact by goes to stderr."""
    try:
        config = load(options.config, kits())
    except ConfigError as exc:
        complain(str(exc), f"kage check {options.config}")
        return exits.USAGE
    if options.node is not None and options.node not in config.cluster.nodes:
        complain(f'no node is called "{options.node}"', f"the nodes are {', '.join(config.cluster.nodes)}")
        return exits.USAGE
    wanted = permissions(config, options.node)
    if options.with_doctor:
        wanted.append(PERMISSION)
    if not wanted:
        complain("nothing of this configuration calls AWS: no policy is needed")
    policy = document(wanted, _home(options.account, options.region or config.aws.region))
    if (length := size(policy)) > LONGEST_INLINE:
        complain(
            f"the policy has {length} characters, and a role's inline policies at most {LONGEST_INLINE}",
            "make one for each node (--node), or attach it as managed policies",
        )
    print_json(policy)
    return exits.OK


def _home(account: str | None, region: str | None) -> Home:
    """Where the cluster is: as told, else as this machine is told by IMDS, else anywhere."""
    if account is None or region is None:
        try:
            own_account, own_region = read_account(METADATA_TIMEOUT_S)
        except AwsError as error:
            missing = {"--account": account, "--region": region}
            named = " and ".join(option for option, value in missing.items() if value is None)
            complain(f"{error.text}; the policy's ARNs have * there", f"give {named}")
            own_account = own_region = "*"
        account, region = account or own_account, region or own_region
    return Home(account=account, region=region)
