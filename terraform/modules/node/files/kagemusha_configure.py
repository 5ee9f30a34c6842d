#!/usr/bin/python3
"""Fetch the cluster key and cluster.toml from Parameter Store: at the first boot, and when they have changed.

`kagemusha-configure [FOLDER]`: parameters.json in that folder, /etc/kagemusha if none is named, says where
from. Each file is replaced whole or not at all, in the order of that list; the agent checks what it is given
and keeps its old configuration if the new one is wrong. A cluster key that is there stays: `kage keygen`
rotates it on the nodes, and Parameter Store holds the first one for ever. Waits until both are there,
WITHIN_S at most: the nodes start before Terraform knows all that cluster.toml holds.
"""

import json
import os
import sys
import time
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

KEY = "cluster.key"
WITHIN_S, PAUSE_S = 1_200.0, 5.0
CONFIG = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3})


def main() -> None:
    """Fetch each file; ends the process with a message if one can't be had in time."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "/etc/kagemusha")
    wanted = json.loads((folder / "parameters.json").read_text())
    ssm = boto3.client("ssm", region_name=wanted.pop("region"), config=CONFIG)
    until = time.monotonic() + WITHIN_S
    for file, parameter in wanted.items():
        if file != KEY or not (folder / KEY).exists():
            put(folder / file, fetch(ssm, parameter, until))


def fetch(ssm, parameter, until):
    """Its value; what is missing or doesn't answer is asked for again until then."""
    while True:
        try:
            return ssm.get_parameter(Name=parameter, WithDecryption=True)["Parameter"]["Value"]
        except (ClientError, BotoCoreError) as error:
            if time.monotonic() >= until:
                sys.exit(f"kagemusha-configure: {parameter}: {error}")
        time.sleep(PAUSE_S)


def put(path, text):
    """Replace the file; only root can read it from its first byte on."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w") as file:
        file.write(text.rstrip("\n") + "\n")
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)


if __name__ == "__main__":
    main()
