"""The ENI that a kit works on: the one behind a device of this machine, or one that is named instead."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from agent.aws import AwsError, AwsFault
from recovery_kits.contract import Aws

InterfaceId = Annotated[str, Meta(pattern=r"^eni-[0-9a-f]{8,17}\Z", examples=["eni-0123456789abcdef0"])]


async def find_interface(aws: Aws, interface: str | None, device: str) -> str:
    """`interface`, or else the id of the ENI behind `device`.

    Raises AwsError; NOT_FOUND where the device is no ENI of this machine, also when IMDS is read anew.
    """
    if interface:
        return interface
    try:
        return (await aws.identity()).interface(device)
    except AwsError as error:
        if error.kind is not AwsFault.NOT_FOUND:
            raise
    return (await aws.refresh_identity()).interface(device)  # it may have come since the identity was read
