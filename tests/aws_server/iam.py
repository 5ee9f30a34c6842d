"""What IAM is asked about, where moto's own enforcement would ask about "*" alone.

AWS decides about every resource that a call acts on; the types of each action are those of the Service
Authorization Reference. Conditions aren't decided about here: moto takes each for met.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from moto import settings
from moto.core.authorization import ActionAuthenticatorMixin
from moto.core.exceptions import AccessDeniedError
from moto.dynamodb.responses import DynamoHandler
from moto.ec2.responses import EC2Response
from moto.elbv2.responses import ELBV2Response
from moto.iam.access_control import IAMRequestBase
from moto.route53.responses import Route53
from moto.s3.exceptions import S3ClientError
from moto.ses.responses import EmailResponse
from moto.sns.responses import SNSResponse
from moto.ssm.responses import SimpleSystemManagerResponse

ALL = "*"
EC2_TYPES = {  # request parameter -> resource type
    "AllocationId": "elastic-ip",
    "InstanceId": "instance",
    "NetworkInterfaceId": "network-interface",
    "RouteTableId": "route-table",
    "TransitGatewayAttachmentId": "transit-gateway-attachment",
    "TransitGatewayRouteTableId": "transit-gateway-route-table",
    "VolumeId": "volume",
}
ROUTE_CHANGES = frozenset({"CreateRoute", "ReplaceRoute"})  # of the table alone, wherever the route leads
READ_BY_RESOURCE = frozenset({"DescribeInstanceAttribute"})  # the other Describe… know no resources
denied: list[str] = []  # what was refused since enforcing began
_check = IAMRequestBase.check_action_permitted
_check_signature = IAMRequestBase.check_signature


def patches() -> Iterator[tuple[type, str, object]]:
    """What to replace in moto."""
    yield EC2Response, "_determine_resource", _ec2
    yield DynamoHandler, "_determine_resource", _dynamodb
    yield ELBV2Response, "_determine_resource", _elbv2
    yield Route53, "_determine_resource", _route53
    yield SNSResponse, "_determine_resource", _sns
    yield EmailResponse, "_determine_resource", _ses
    yield SimpleSystemManagerResponse, "_determine_resource", _ssm
    yield IAMRequestBase, "check_action_permitted", _check_each
    yield IAMRequestBase, "check_signature", _check_signature_of


def enforce(*, on: bool) -> None:
    """Let only what the caller's policies allow be done from now on; or everything again."""
    settings.INITIAL_NO_AUTH_ACTION_COUNT = 0.0 if on else float("inf")
    ActionAuthenticatorMixin.request_count = 0
    denied.clear()


def _check_each(request: Any, resource: str) -> None:
    """A call is permitted if it is on each of its resources."""
    request._action = re.sub("^monitoring:", "cloudwatch:", request._action)  # CloudWatch is signed so
    try:
        for each in resource.split():
            _check(request, each)
    except (AccessDeniedError, S3ClientError) as error:
        denied.append(f"{request._action} on {resource}")
        in_other_words = request._service == "route53"
        if in_other_words and isinstance(error, AccessDeniedError):
            error.description = re.sub("</?Errors>", "", error.description or "")
        raise


def _check_signature_of(request: Any) -> None:
    """moto calculates a wrong one for a GET of Route 53."""
    if request._service != "route53":
        _check_signature(request)


def _ec2(response: Any) -> str:
    action = response.querystring.get("Action", [""])[0]
    if action.startswith("Describe") and action not in READ_BY_RESOURCE:
        return ALL
    types = {"RouteTableId": "route-table"} if action in ROUTE_CHANGES else EC2_TYPES
    named = [
        (types[parameter], values[0])
        for key, values in response.querystring.items()
        if (parameter := key.partition(".")[0]) in types
    ]
    if attachment := response.querystring.get("AttachmentId"):
        named += _attached(response.ec2_backend, attachment[0])
    start = f"arn:aws:ec2:{response.region}:{response.current_account}:"
    return " ".join(f"{start}{kind}/{name}" for kind, name in named) or ALL


def _attached(backend: Any, attachment: str) -> Iterator[tuple[str, str]]:
    """The interface that an attachment is of, and its instance."""
    for interface in backend.enis.values():
        if interface.attachment_id == attachment:
            yield "network-interface", interface.id
            if interface.instance:
                yield "instance", interface.instance.id


def _dynamodb(response: Any) -> str:
    table = response.body.get("TableName") if isinstance(response.body, dict) else None
    return f"arn:aws:dynamodb:{response.region}:{response.current_account}:table/{table}" if table else ALL


def _elbv2(response: Any) -> str:
    action = response.querystring.get("Action", [""])[0]
    groups = response.querystring.get("TargetGroupArn")
    return groups[0] if groups and not action.startswith("Describe") else ALL


def _route53(response: Any) -> str:
    kind, _, rest = response.path.removeprefix("/2013-04-01/").partition("/")
    name = rest.partition("/")[0]
    return f"arn:aws:route53:::{kind}/{name}" if kind in {"hostedzone", "change"} and name else ALL


def _sns(response: Any) -> str:
    topic: str = response.querystring.get("TopicArn", [ALL])[0]
    return topic


def _ses(response: Any) -> str:
    source = response.querystring.get("Source")
    identity = f"arn:aws:ses:{response.region}:{response.current_account}:identity/"
    return f"{identity}{source[0]}" if source else ALL


def _ssm(response: Any) -> str:
    name = json.loads(response.body or "{}").get("Name", "")
    start = f"arn:aws:ssm:{response.region}:{response.current_account}:parameter"
    return f"{start}{name}" if name.startswith("/") else ALL
