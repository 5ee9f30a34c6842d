"""What is stored is read by every version of kage that knows its format, and is the same for people."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.arbiters.contract import Record
from agent.arbiters.documents import Unreadable, decode, encode
from agent.core.messages import Register
from tests.arbiters.records import HIERARCHY, NODE_A, NODE_B

RECORD = Record(
    register=Register(
        hierarchy=HIERARCHY, term=7, revision=12, owner=NODE_A, previous=NODE_B, held=True, in_sync=(NODE_A,)
    ),
    voted_for=NODE_A,
    term=7,
    nonce="5f1d",
)
STORED = (  # by the first version; never change it
    b'{"kagemusha":1,"record":{"register":{"hierarchy":"app","term":7,"revision":12,"owner":"db-01",'
    b'"previous":"db-02","successor":null,"held":true,"in_sync":["db-01"]},'
    b'"voted_for":"db-01","term":7,"nonce":"5f1d"}}'
)


def test_what_the_first_version_stored_is_still_read() -> None:
    assert decode(STORED, HIERARCHY) == RECORD


@pytest.mark.parametrize("voted_for", [None, NODE_B])
def test_a_record_comes_back_as_it_was(voted_for: None) -> None:
    record = replace(RECORD, voted_for=voted_for)
    assert decode(encode(record), HIERARCHY) == record


def test_a_field_that_a_later_version_added_is_passed_over() -> None:
    assert decode(STORED.replace(b'"term":7,"nonce"', b'"term":7,"mood":[1],"nonce"'), HIERARCHY) == RECORD


@pytest.mark.parametrize("missing", [b'"voted_for":"db-01",', b'"term":7,"nonce"', b',"nonce":"5f1d"'])
def test_nothing_of_the_vote_may_be_missing(missing: bytes) -> None:
    """A vote that is missing must not be read as one that was released."""
    assert missing in STORED
    cut = b'"nonce"' if missing.endswith(b'"nonce"') else b""
    with pytest.raises(Unreadable, match="missing required field"):
        decode(STORED.replace(missing, cut), HIERARCHY)


def test_bytes_that_are_no_text_are_unreadable() -> None:
    with pytest.raises(Unreadable):
        decode(STORED.replace(b"5f1d", b"\xff\xfe"), HIERARCHY)
