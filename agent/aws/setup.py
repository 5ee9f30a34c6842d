"""How botocore is set up here: one attempt of each call, its time-outs, its models read cheaply."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from botocore.config import Config
from botocore.loaders import JSONFileLoader, create_loader
from botocore.session import Session


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What bounds the calls of a client."""

    connect_timeout_s: float
    read_timeout_s: float
    connections: int  # kept open for the calls to come

    def config(self) -> Config:
        """The same for botocore. Who calls knows whether it still may: nothing is retried."""
        return Config(
            connect_timeout=self.connect_timeout_s,
            read_timeout=self.read_timeout_s,
            retries={"mode": "standard", "total_max_attempts": 1},
            max_pool_connections=self.connections,
            tcp_keepalive=True,
        )


def new_session() -> Session:
    """A botocore session, which takes proxies, endpoints, FIPS and dual stack from the environment."""
    session = Session()
    session.set_config_variable("ec2_metadata_v1_disabled", True)
    loader = create_loader(session.get_config_variable("data_path"))
    loader.file_loader = ModelFiles()
    session.register_component("data_loader", loader)
    return session


class ModelFiles(JSONFileLoader):
    """Reads botocore's models in a quarter of the time, and keeps them in less memory.

    EC2's has 4 MB, and while such a file is decoded no other thread runs: not even the heartbeats'.
    """

    def load_file(self, file_path: str) -> Any:
        """The decoded file, whose ending isn't given; None if there is none."""
        for ending, unpack in ((".json", bytes), (".json.gz", gzip.decompress)):
            path = Path(file_path + ending)
            if path.is_file():
                return msgspec.json.decode(unpack(path.read_bytes()))
        return None
