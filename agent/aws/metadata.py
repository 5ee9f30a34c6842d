"""Who this machine is to AWS, from the instance metadata service, version 2 only.

Source: the EC2 user guide, "Instance metadata categories".
"""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

import psutil

from agent.aws.errors import AwsError, AwsFault

T = TypeVar("T")

ENDPOINT_VARIABLE = "AWS_EC2_METADATA_SERVICE_ENDPOINT"  # botocore honours the same one
DEFAULT_ENDPOINT = "http://169.254.169.254"
OPERATION = "instance metadata"
TOKEN_LIFE_S = 60
LONGEST_PAGE = 65_536  # bytes
UNREACHABLE_STEP = "is this an EC2 instance, with IMDSv2 enabled?"


@dataclass(frozen=True, kw_only=True)
class Machine:
    """This instance's identity."""

    instance_id: str
    region: str
    availability_zone: str
    interfaces: Mapping[str, str]  # MAC address in lower case -> ENI id

    def interface(self, device: str) -> str:
        """The ENI id behind a device such as "eth0".

        Raises AwsError (NOT_FOUND) when there is no such device, or when it isn't an ENI.
        """
        mac = _macs().get(device)
        if mac is None:
            raise AwsError(AwsFault.NOT_FOUND, OPERATION, "NoSuchDevice", f"there is no device {device}")
        try:
            return self.interfaces[mac]
        except KeyError:
            text = f"{device} ({mac}) is none of the ENIs attached to {self.instance_id}"
            raise AwsError(AwsFault.NOT_FOUND, OPERATION, "NoSuchInterface", text) from None


def links() -> frozenset[str]:
    """The MAC addresses of this machine's devices now; costs a fraction of a millisecond."""
    return frozenset(_macs().values())


def _macs() -> dict[str, str]:
    # The kernel of this network namespace is asked; /sys may show another one's devices.
    return {
        device: address.address.lower()
        for device, addresses in psutil.net_if_addrs().items()
        for address in addresses
        if address.family == psutil.AF_LINK
    }


def read_machine(timeout_s: float) -> Machine:
    """Ask IMDSv2; blocks for up to `timeout_s` at each of a few requests. Raises AwsError."""
    return _connected(timeout_s, _read)


def read_account(timeout_s: float) -> tuple[str, str]:
    """The account's number and the region of this instance; otherwise as `read_machine`."""
    return _connected(timeout_s, _read_account)


def _connected(timeout_s: float, read: Callable[[http.client.HTTPConnection], T]) -> T:
    endpoint = urlsplit(os.environ.get(ENDPOINT_VARIABLE) or DEFAULT_ENDPOINT)
    connection = http.client.HTTPConnection(endpoint.hostname or "", endpoint.port or 80, timeout=timeout_s)
    try:
        return read(connection)
    except (OSError, http.client.HTTPException) as error:
        code, text = type(error).__name__, f"{endpoint.netloc} doesn't answer: {error}"
        raise AwsError(AwsFault.NETWORK, OPERATION, code, text, UNREACHABLE_STEP) from error
    finally:
        connection.close()


def _read_account(connection: http.client.HTTPConnection) -> tuple[str, str]:
    text = _ask(connection, "GET", "/latest/dynamic/instance-identity/document", _token(connection))
    try:
        document = json.loads(text)
        return str(document["accountId"]), str(document["region"])
    except (ValueError, TypeError, KeyError) as error:
        what = "the instance identity document can't be read"
        raise AwsError(AwsFault.SERVER, OPERATION, "Unreadable", what, UNREACHABLE_STEP) from error


def _token(connection: http.client.HTTPConnection) -> dict[str, str]:
    life = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_LIFE_S)}
    return {"X-aws-ec2-metadata-token": _ask(connection, "PUT", "/latest/api/token", life)}


def _read(connection: http.client.HTTPConnection) -> Machine:
    token = _token(connection)

    def page(name: str) -> str:
        return _ask(connection, "GET", f"/latest/meta-data/{name}", token)

    macs = [line.strip("/") for line in page("network/interfaces/macs/").splitlines()]
    return Machine(
        instance_id=page("instance-id"),
        region=page("placement/region"),
        availability_zone=page("placement/availability-zone"),
        interfaces={mac.lower(): page(f"network/interfaces/macs/{mac}/interface-id") for mac in macs},
    )


def _ask(connection: http.client.HTTPConnection, method: str, path: str, headers: Mapping[str, str]) -> str:
    connection.request(method, path, headers=dict(headers))
    reply = connection.getresponse()
    body = reply.read(LONGEST_PAGE).decode("latin1").strip()
    if reply.status == 200 and body:
        return body
    unsure = reply.status >= 500 or reply.status == 200  # an empty page is no answer either
    kind = AwsFault.SERVER if unsure else AwsFault.REFUSED
    text = f"{method} {path} was answered with {reply.status}{'' if body else ' and nothing more'}"
    raise AwsError(kind, OPERATION, str(reply.status), text, UNREACHABLE_STEP)
