"""Each message says what happened, what the cluster did and what is left to do, whatever its words hold."""

from __future__ import annotations

import json

import pytest

from agent.core.effects import Kind, Severity
from agent.notify.message import LONGEST_SUBJECT, dropped_message, message_of, sample_message
from agent.notify.words import NOTHING, WORDS, left_to_do
from agent.runtime.noticelog import LoggedNotice
from tests.notify.messages import ME, message, notice


def test_every_kind_has_its_words() -> None:
    assert set(WORDS) == set(Kind)
    for kind, words in WORDS.items():
        for text in words:
            assert text.endswith("."), kind
            assert text[0].isupper(), kind


@pytest.mark.parametrize("kind", Kind)
def test_good_news_leave_nothing_to_do_and_bad_ones_something(kind: Kind) -> None:
    assert left_to_do(notice(kind=kind, severity=Severity.INFO)) == NOTHING
    assert left_to_do(notice(kind=kind, severity=Severity.ALARM)) == WORDS[kind].left


def test_what_is_never_good_news_leaves_something_to_do() -> None:
    """The kinds that the core and the runtime tell as warnings or alarms."""
    bad = {
        *(Kind.PATH_DOWN, Kind.PEER_LOST, Kind.PEER_LEFT, Kind.OWNERSHIP_LOST, Kind.OWNERSHIP_DENIED),
        *(Kind.ARBITER_TROUBLE, Kind.FAILOVER_BEGUN, Kind.ACTION_FINISHED, Kind.RESOURCE_FAILED),
        *(Kind.RESOURCE_UNKNOWN, Kind.NOWHERE_TO_GO, Kind.FENCING_MYSELF, Kind.FENCING_PEER),
        *(Kind.PEER_FENCED, Kind.FENCING_FAILED, Kind.ISOLATED, Kind.UNGUARDED, Kind.CONFIRMATION),
        *(Kind.REPLICA_TRUSTED, Kind.REPLICAS_CHANGED, Kind.DUTY_BROKE, Kind.DESTINATION_FAILED),
        *(Kind.STORE_FAILED, Kind.CONFIG_REFUSED, Kind.PAUSED),
    }
    assert {kind for kind in bad if WORDS[kind].left == NOTHING} == set()


def test_a_message_reads_so() -> None:
    assert message().subject == "[shop] ALARM db-01: resource-failed garoon/ip-vip"
    assert message().body.startswith(
        "A resource failed.\nit broke\n\nWhat the cluster did: It repairs it here"
    )
    assert "\nWhat is left to do: Find out why it failed:" in message().body
    assert "\nalarm, resource-failed, no. 7; 2026-11-18T11:06:40.250Z\ncluster: shop\n" in message().body


def test_the_json_has_every_key_always() -> None:
    keys = set(json.loads(message().json()))
    assert json.loads(message().json())["version"] == 1
    assert json.loads(message().json())["resource"] == "ip-vip"
    assert set(json.loads(sample_message("db-01", "shop").json())) == keys
    assert set(json.loads(dropped_message("db-01", "shop", 5, "").json())) == keys


@pytest.mark.parametrize(
    "text", ["a\r\nBcc: x@example.com", "\x1b[2Jgone", "\0", "x" * 100_000, "\udce4", "日本語 \u2028 ä"]
)
def test_no_text_breaks_out_of_its_line(text: str) -> None:
    told = message(text)
    assert told.text.isprintable() or "…" in told.text
    assert len(told.text) <= 2_000
    assert told.subject.isascii()
    assert "\n" not in told.text + told.subject
    assert json.loads(told.json())["text"] == told.text


def test_a_long_subject_is_cut() -> None:
    long = notice(hierarchy="h" * 63, tag="t" * 63)
    told = message_of(LoggedNotice(1, 0.0, ME, long), "c" * 63)
    assert len(told.subject) <= LONGEST_SUBJECT
