"""Run the test server by itself; prints one line of JSON when it is ready, ends on SIGTERM or SIGINT.

    python -m tests.aws_server --port 4566 --seed --imds 127.0.0.1:1338=db-01 --imds 127.0.0.1:1339=db-02

The line: {"url": …, "world": … (with --seed), "imds": [url, …]}.
"""

from __future__ import annotations

import argparse
import json
import signal
from pathlib import Path

import msgspec

from tests.aws_server.metadata import Profile
from tests.aws_server.server import WARM_UP, AwsServer
from tests.aws_server.world import World, reference_world


def main() -> None:
    """Serve until told to end."""
    parser = argparse.ArgumentParser(prog="python -m tests.aws_server", description="moto for Kagemusha")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--seed", action="store_true", help="make the reference cluster")
    parser.add_argument(
        "--imds",
        action="append",
        default=[],
        metavar="HOST:PORT=WHO",
        help="an IMDSv2; WHO is a JSON file (see Profile) or, with --seed, a node's name",
    )
    options = parser.parse_args()
    stop_signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop_signals)  # before any thread: only sigwait sees them
    with AwsServer(options.host, options.port, warm=tuple(WARM_UP)) as server:
        world = _seed(server) if options.seed else None
        imds = [_serve_metadata(server, each, world) for each in options.imds]
        ready = {"url": server.url, "world": world and json.loads(world.to_json()), "imds": imds}
        print(json.dumps(ready), flush=True)
        signal.sigwait(stop_signals)


def _seed(server: AwsServer) -> World:
    client = server.ec2()
    try:
        return reference_world(client)
    finally:
        client.close()


def _serve_metadata(server: AwsServer, option: str, world: World | None) -> str:
    where, _, who = option.partition("=")
    host, _, port = where.rpartition(":")
    if who.endswith(".json"):
        profile = msgspec.json.decode(Path(who).read_bytes(), type=Profile)
    elif world:
        profile = world.profile(who)
    else:
        raise SystemExit(f"--imds {option}: {who} is no .json file, and a node's name needs --seed")
    return server.add_metadata(profile, host, int(port)).url


if __name__ == "__main__":
    main()
