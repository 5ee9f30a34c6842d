"""What IAM is asked about, where moto's own enforcement would ask about "*" alone.

AWS decides about every resource that a call acts on; the types of each action are those of the Service
Authorization Reference. Conditions aren't decided about here: moto takes each for met.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from moto import settings
from moto.core.authorization import ActionAuthenticatorMixin
from moto.dynamodb.responses import DynamoHandler
from moto.ec2.responses import EC2Response
from moto.elbv2.responses import ELBV2Response
from moto.iam.access_control import IAMRequestBase
from moto.route53.responses import Route53

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
READ_BY_RESOURCE = frozenset({"DescribeInstanceAttribute"})  # the other Describe… know no resources
_check = IAMRequestBase.check_action_permitted


def patches() -> Iterator[tuple[type, str, object]]:
    """What to replace in moto."""
    yield EC2Response, "_determine_resource", _ec2
    yield DynamoHandler, "_determine_resource", _dynamodb
    yield ELBV2Response, "_determine_resource", _elbv2
    yield Route53, "_determine_resource", _route53
    yield IAMRequestBase, "check_action_permitted", _check_each


def enforce(*, on: bool) -> None:
    """Let only what the caller's policies allow be done from now on; or everything again."""
    settings.INITIAL_NO_AUTH_ACTION_COUNT = 0.0 if on else float("inf")
    ActionAuthenticatorMixin.request_count = 0


def _check_each(request: Any, resource: str) -> None:
    """A call is permitted if it is on each of its resources."""
    for each in resource.split():
        _check(request, each)


def _ec2(response: Any) -> str:
    action = response.querystring.get("Action", [""])[0]
    if action.startswith("Describe") and action not in READ_BY_RESOURCE:
        return ALL
    named = [
        (EC2_TYPES[parameter], values[0])
        for key, values in response.querystring.items()
        if (parameter := key.partition(".")[0]) in EC2_TYPES
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
