"""What calls are signed with: kept in memory, and renewed beside the calls.

Its invariants:
- a call takes what is kept, at once, for as long as that lasts: botocore itself would ask for new
  credentials in the middle of a call from 15 minutes before their end, and fail it in the last 10;
- credentials that can't be renewed are used until they end;
- once they have ended, or where there are none, a call waits for new ones and fails without.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from botocore.credentials import (
    Credentials,
    DeferredRefreshableCredentials,
    ReadOnlyCredentials,
    RefreshableCredentials,
    create_assume_role_refresher,
)

from agent.aws.errors import CREDENTIALS_STEP, AwsError, AwsFault
from agent.aws.setup import Limits, new_session
from agent.aws.words import in_our_words

RENEW_BEFORE_S = 900  # before their end: IMDS has new ones by then, and may be away for a while
ROLE_LIFE_S = 3_600  # the longest that AWS grants to who has a role already, as an instance has
ASSUME = "AssumeRole"


class Kept(Credentials):
    """One identity's credentials, shared by its clients; used by several threads."""

    def __init__(self, load: Callable[[], Credentials | None], role: str | None = None) -> None:
        super().__init__("", "", method="kept")  # nobody asks it for more than the frozen ones
        self.role = role  # an ARN; None: the node's own
        self._load = load
        self._kept: tuple[Credentials, ReadOnlyCredentials] | None = None
        self._loading = threading.Lock()

    @property
    def due(self) -> bool:
        """Whether they end soon."""
        return self._kept is not None and _ends(self._kept[0], RENEW_BEFORE_S)

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Called by botocore for each call; raises AwsError."""
        kept = self._kept
        return kept[1] if kept and not _ends(kept[0], 0) else self.renew(0)

    def renew(self, before_s: int | None = None) -> ReadOnlyCredentials:
        """Load new ones unless those kept last longer (None: a while longer); blocks, raises AwsError."""
        before_s = RENEW_BEFORE_S if before_s is None else before_s
        with self._loading:
            if self._kept and not _ends(self._kept[0], before_s):
                return self._kept[1]  # another thread was quicker
            with in_our_words("sts", ASSUME if self.role else "credentials", self.role):
                loaded = self._load()
                frozen = loaded.get_frozen_credentials() if loaded else None
            if loaded is None or frozen is None:
                text = "there are no credentials"
                raise AwsError(AwsFault.AUTH, "credentials", "NoCredentialsError", text, CREDENTIALS_STEP)
            self._kept = loaded, frozen
            return frozen

    def load_credentials(self) -> Credentials:
        """Itself: this is what a botocore session calls its provider of credentials by."""
        return self

    def close(self) -> None:
        """Drop connections."""


class Assumed(Kept):
    """A role's credentials, which STS gives for the node's own."""

    def __init__(self, own: Kept, role: str, session_name: str, region: str, limits: Limits) -> None:
        session = new_session()
        session.register_component("credential_provider", own)
        self._sts: Any = session.create_client("sts", region, config=limits.config())
        wish = {"RoleArn": role, "RoleSessionName": session_name, "DurationSeconds": ROLE_LIFE_S}
        assume = create_assume_role_refresher(self._sts, wish)
        super().__init__(lambda: DeferredRefreshableCredentials(assume, "assume-role"), role)

    def close(self) -> None:
        """Drop connections."""
        self._sts.close()


def own_credentials() -> Kept:
    """The node's own: the environment's, else those of the instance's role."""
    return Kept(lambda: new_session().get_credentials())


def _ends(credentials: Credentials, within_s: int) -> bool:
    return isinstance(credentials, RefreshableCredentials) and credentials.refresh_needed(within_s)
