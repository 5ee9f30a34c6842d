"""Credentials are renewed beside the calls; a call takes what is kept for as long as that lasts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from botocore.credentials import Credentials, RefreshableCredentials
from botocore.exceptions import MetadataRetrievalError

from agent.aws.credentials import RENEW_BEFORE_S, Kept
from agent.aws.errors import AwsError, AwsFault

BEGIN = datetime(2026, 11, 22, tzinfo=UTC)
LIFE_S = 3_600


class Issuer:
    """Gives credentials of an hour, numbered; `away` or `refusing` on demand."""

    def __init__(self) -> None:
        self.now, self.issued, self.away, self.refusing = BEGIN, 0, False, False

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def load(self) -> Credentials | None:
        if self.away:
            raise MetadataRetrievalError(error_msg="timed out")
        if self.refusing:
            return None
        self.issued += 1
        end = self.now + timedelta(seconds=LIFE_S)
        return RefreshableCredentials(
            f"AKIA{self.issued}", "hush", "hush", end, _never, "test", time_fetcher=lambda: self.now
        )


def _never() -> None:
    raise AssertionError("botocore refreshed by itself")


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def kept(issuer: Issuer) -> Kept:
    return Kept(issuer.load)


def key(kept: Kept) -> str:
    """A call's."""
    return str(kept.get_frozen_credentials().access_key)


def due(kept: Kept) -> bool:
    """Told anew each time, which mypy can't know of an attribute."""
    return kept.due


def test_a_call_asks_nobody_until_the_very_end(issuer: Issuer, kept: Kept) -> None:
    assert key(kept) == "AKIA1"
    issuer.wait(LIFE_S - 1)
    issuer.away = True
    assert (key(kept), issuer.issued) == ("AKIA1", 1)


def test_they_are_due_a_quarter_of_an_hour_before_their_end_and_then_renewed_once(
    issuer: Issuer, kept: Kept
) -> None:
    assert not due(kept), "nobody has wanted any yet"
    key(kept)
    issuer.wait(LIFE_S - RENEW_BEFORE_S - 1)
    assert not due(kept)
    issuer.wait(2)
    assert due(kept)
    kept.renew()
    kept.renew()
    assert (key(kept), issuer.issued, due(kept)) == ("AKIA2", 2, False)


def away(issuer: Issuer) -> None:
    issuer.away = True


def refusing(issuer: Issuer) -> None:
    issuer.refusing = True


@pytest.mark.parametrize(("trouble", "kind"), [(away, AwsFault.NETWORK), (refusing, AwsFault.AUTH)])
def test_old_ones_serve_until_they_end_while_none_can_be_had(
    issuer: Issuer, kept: Kept, trouble: Callable[[Issuer], None], kind: AwsFault
) -> None:
    key(kept)
    issuer.wait(LIFE_S - 60)
    trouble(issuer)
    with pytest.raises(AwsError) as caught:
        kept.renew()
    assert caught.value.kind is kind
    assert (key(kept), due(kept)) == ("AKIA1", True)
    issuer.wait(61)
    with pytest.raises(AwsError) as caught:
        key(kept)
    assert caught.value.kind is kind
    issuer.away = issuer.refusing = False
    assert key(kept) == "AKIA2"


def test_credentials_without_an_end_are_never_due() -> None:
    kept = Kept(lambda: Credentials("AKIA", "hush"))
    assert key(kept) == "AKIA"
    assert not due(kept)


def test_no_secret_is_shown(issuer: Issuer, kept: Kept) -> None:
    key(kept)
    assert "hush" not in repr(kept)
