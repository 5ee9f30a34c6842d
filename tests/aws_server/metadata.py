"""IMDSv2 for one node: token required, identity, ENIs by MAC, role credentials."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tests.aws_server.http import Environ, Listener, StartResponse, reply

LONGEST_TOKEN_S = 21_600
ROLE_PATH = "/latest/meta-data/iam/security-credentials"


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What one instance knows of itself."""

    instance_id: str
    availability_zone: str
    region: str
    interfaces: Mapping[str, str]  # MAC address -> ENI id
    role: str = "kagemusha-node"
    account: str = "123456789012"  # moto's own
    credentials: Mapping[str, str] | None = None  # as IMDS words them: AccessKeyId, SecretAccessKey, …

    def pages(self) -> dict[str, str]:
        """Path -> answer, paths without a slash at the end."""
        top = "/latest/meta-data"
        macs = f"{top}/network/interfaces/macs"
        pages = {
            f"{top}/instance-id": self.instance_id,
            f"{top}/placement/availability-zone": self.availability_zone,
            f"{top}/placement/region": self.region,
            macs: "\n".join(f"{mac}/" for mac in self.interfaces),
        }
        pages |= {f"{macs}/{mac}/interface-id": eni for mac, eni in self.interfaces.items()}
        document = {"accountId": self.account, "region": self.region, "instanceId": self.instance_id}
        pages["/latest/dynamic/instance-identity/document"] = json.dumps(document)
        if self.credentials is not None:
            pages |= {ROLE_PATH: self.role, f"{ROLE_PATH}/{self.role}": json.dumps(dict(self.credentials))}
        return pages


class MetadataServer(Listener):
    """Serves one profile until closed; `down` answers 503 to everything."""

    def __init__(self, profile: Profile, host: str = "127.0.0.1", port: int = 0) -> None:
        self.profile, self.down = profile, False
        self.requests = 0  # how many were answered, refusals included
        self._tokens: dict[str, float] = {}  # token -> monotonic time of its end
        super().__init__(host, port, self._answer)

    def _answer(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        self.requests += 1
        if self.down:
            return reply(start, 503, b"")
        if environ["REQUEST_METHOD"] == "PUT":
            return self._token(environ, start)
        if self._tokens.get(environ.get("HTTP_X_AWS_EC2_METADATA_TOKEN", ""), 0.0) < time.monotonic():
            return reply(start, 401, b"")
        page = self.profile.pages().get(environ["PATH_INFO"].rstrip("/"))
        return reply(start, 404, b"") if page is None else reply(start, 200, page.encode())

    def _token(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        ttl = environ.get("HTTP_X_AWS_EC2_METADATA_TOKEN_TTL_SECONDS", "")
        if environ["PATH_INFO"] != "/latest/api/token" or not ttl.isdigit():
            return reply(start, 400, b"")
        if not 1 <= int(ttl) <= LONGEST_TOKEN_S:
            return reply(start, 400, b"")
        token = secrets.token_urlsafe(16)
        self._tokens[token] = time.monotonic() + int(ttl)
        return reply(start, 200, token.encode())
