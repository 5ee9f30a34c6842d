"""`kage doctor` and `kage iam-policy` as people meet them: reports, exit codes, complaints, the page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from agent.aws.metadata import ENDPOINT_VARIABLE
from agent.cli import doctor, exits
from agent.cli.main import main
from agent.comm import keys
from agent.doctor.checks import CHECKS
from agent.doctor.contract import Outcome
from tests.aws_server import AwsServer, MetadataServer, World
from tests.aws_server.fixtures import aws_process, aws_server, only_loopback, world

__all__ = ["aws_process", "aws_server", "only_loopback", "world"]

PAGE = Path(__file__).parents[2] / "docs/cli.md"
CLUSTER = """\
[cluster]
name = "lab"
key_file = "{key}"
quorum = "none"

[comm_path.eni-0]
priority = 1
db-01 = "127.0.3.4"
db-02 = "127.0.6.4"

[hierarchy.app]
nodes = ["db-01", "db-02"]

[hierarchy.app.resource.it]
{resource}
"""
SCRIPT = 'kit = "generic"\nid = "app"\nrestore = "/bin/true"\nremove = "/bin/true"\n'
ROUTE = (
    'kit = "route"\ndestination = "10.1.0.10/32"\n'
    'route_tables = ["rtb-0000000000000000a", "rtb-0000000000000000c"]\n'
    'node.db-02.route_tables = ["rtb-0000000000000000d"]\n'
)
ARN = "arn:{}:ec2:{}:{}:route-table/rtb-0000000000000000{}".format


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration file without AWS."""
    keys.generate(tmp_path / "key")
    path = tmp_path / "cluster.toml"
    path.write_text(CLUSTER.format(key=tmp_path / "key", resource=SCRIPT))
    return path


@pytest.fixture
def routed(file: Path) -> Path:
    """One with routes."""
    file.write_text(file.read_text().replace(SCRIPT, ROUTE))
    return file


@pytest.fixture
def no_imds(monkeypatch: pytest.MonkeyPatch) -> None:
    """An IMDS where nobody listens."""
    monkeypatch.setenv(ENDPOINT_VARIABLE, "http://127.0.0.1:9")


def tables(text: str) -> list[str]:
    """The route tables that a policy allows to change."""
    (found,) = [each for each in json.loads(text)["Statement"] if each["Sid"] == "MoveRoutes"]
    resources: list[str] = found["Resource"]
    return resources


def test_the_report_has_a_row_for_every_check_and_is_the_same_as_json(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["--config", str(file), "doctor", "--node", "db-01", "--json"])
    report = json.loads(capsys.readouterr().out)
    told = {row["check"] for row in report["rows"]}
    silent = {"watchdog", "aws-limits"}  # nothing to look at here
    assert told == {doctor.KAGE_CHECK} | {each.name for each in CHECKS if each.group != "account"} - silent
    assert "nothing of this configuration calls AWS: the account wasn't looked at." in report["notes"]
    good = all(row["outcome"] == "ok" for row in report["rows"])
    assert code == (exits.OK if good else exits.REFUSED)
    main(["--config", str(file), "doctor", "--node", "db-01"])
    text = capsys.readouterr().out
    for row in report["rows"]:
        assert re.search(
            rf"^  {row['outcome']} +{row['check']}: {re.escape(row['text'])}$", text, re.MULTILINE
        )
        assert bool(row["remedy"]) == (row["outcome"] != Outcome.OK.value) or row["outcome"] == "unknown"
    counts = ", ".join(f"{sum(r['outcome'] == o.value for r in report['rows'])} {o.value}" for o in Outcome)
    assert text.endswith(f"\n\n{counts}\n")


def test_what_check_finds_is_in_the_report(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(file.read_text().replace("/bin/true", "/bin/gone"))
    assert main(["--config", str(file), "doctor", "--node", "db-01"]) == exits.REFUSED
    text = capsys.readouterr().out
    assert "  problem  check: it: /bin/gone: No such file or directory\n             remedy: put it" in text


def test_an_aws_that_is_away_is_unknown_not_a_problem(
    routed: Path, no_imds: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", str(routed), "doctor", "--node", "db-01", "--json"]) == exits.REFUSED
    rows = json.loads(capsys.readouterr().out)["rows"]
    away = [row for row in rows if row["group"] == "account" or row["text"].startswith("it: ")]
    assert {row["outcome"] for row in away} == {"unknown"}
    assert {row["check"] for row in away} > {"addresses", "check"}


def test_whose_side_it_is_must_be_known(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(file), "doctor"]) == exits.USAGE
    assert "give --node, one of db-01, db-02" in capsys.readouterr().err
    assert main(["--config", str(file), "doctor", "--node", "db-03"]) == exits.USAGE
    assert 'no node is called "db-03"' in capsys.readouterr().err
    for verb in ("doctor", "iam-policy"):
        assert main(["--config", "/gone.toml", verb]) == exits.USAGE
        assert "hint: kage check /gone.toml" in capsys.readouterr().err


def test_the_page_lists_exactly_the_checks() -> None:
    section = PAGE.read_text().partition("### Doctor\n")[2].partition("\n#")[0]
    rows = re.findall(r"^\| `([a-z-]+)` \| ([a-z ]+) \| (.+) \|$", section, re.MULTILINE)
    assert rows[0][:2] == (doctor.KAGE_CHECK, "configuration")
    assert rows[1:] == [(each.name, each.group, each.summary) for each in CHECKS]


def test_the_policy_is_the_same_each_time_and_as_json(
    routed: Path, no_imds: None, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--config", str(routed), "iam-policy", "--account", "123456789012", "--region", "eu-west-1"]
    assert main(command) == exits.OK
    policy, complaints = capsys.readouterr()
    assert complaints == ""
    assert tables(policy) == [ARN("aws", "eu-west-1", "123456789012", each) for each in "acd"]
    assert main([*command, "--json"]) == exits.OK
    assert capsys.readouterr().out == policy


def test_an_account_is_twelve_digits(routed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--config", str(routed), "iam-policy", "--account", "1111-2222-3333"])
    assert '"1111-2222-3333" is not an account: those are 12 digits' in capsys.readouterr().err


def test_the_policy_of_one_node_has_nothing_of_the_others(
    routed: Path, no_imds: None, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "--config",
        str(routed),
        "iam-policy",
        "--account",
        "111122223333",
        "--region",
        "us-gov-west-1",
    ]
    main([*command, "--node", "db-02"])
    assert tables(capsys.readouterr().out) == [ARN("aws-us-gov", "us-gov-west-1", "111122223333", "d")]
    assert main([*command, "--node", "db-03"]) == exits.USAGE
    assert "the nodes are db-01, db-02" in capsys.readouterr().err


def test_account_and_region_are_this_machines_unless_given(
    routed: Path,
    aws_server: AwsServer,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with MetadataServer(world.profile("db-01")) as imds:
        monkeypatch.setenv(ENDPOINT_VARIABLE, imds.url)
        assert main(["--config", str(routed), "iam-policy"]) == exits.OK
    policy, complaints = capsys.readouterr()
    assert (tables(policy)[0], complaints) == (ARN("aws", world.region, "123456789012", "a"), "")


def test_where_nobody_tells_them_any_will_do_and_that_is_said(
    routed: Path, no_imds: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", str(routed), "iam-policy", "--region", "eu-west-1"]) == exits.OK
    policy, complaints = capsys.readouterr()
    assert tables(policy)[0] == ARN("aws", "eu-west-1", "*", "a")
    assert "the policy's ARNs have * there\n  hint: give --account\n" in complaints
