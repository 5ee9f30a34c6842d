"""The laboratory needs no privileges where the kernel lets users make namespaces."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.machines.machine import PROJECT

pytestmark = pytest.mark.cluster

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
# $1: where the interpreter is. If that lies in a home that nobody may enter, show only it there: the
# test has a mount namespace of its own.
_OPEN = """
set -e
prefix=$1 closed=
shift
path=$prefix
while [ "$path" != / ]; do
    [ "$(stat -c %A "$path" | cut -c10)" = x ] || closed=$path
    path=$(dirname "$path")
done
if [ "$closed" ]; then
    mount --bind "$prefix" /mnt
    mount -t tmpfs -o mode=755 tmpfs "$closed"
    mkdir -p "$prefix"
    mount --bind /mnt "$prefix"
fi
exec "$@"
"""
FAIL_OVER = """
from tests.machines.lab import ClusterLab
with ClusterLab({"cluster.preset": "fast"}) as lab:
    lab.start()
    lab.begin_on("db-01")
    lab.wait_until(lambda: lab.hierarchy("db-01").nodes["db-02"].eligible, 20, "db-02 eligible")
    lab.power_off("db-01")
    lab.wait_in_service("db-02")
    print("failed over")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="without privileges every other test shows it")
def test_a_user_without_privileges_can_run_the_cluster_and_see_it_fail_over() -> None:
    make_one = [*NOBODY, "unshare", "--user", "--map-root-user", "true"]
    allowed = subprocess.run(make_one, capture_output=True, text=True, check=False)
    if allowed.returncode:
        pytest.skip(f"this kernel lets no user make namespaces: {allowed.stderr.strip()}")
    opened = ["unshare", "--mount", "sh", "-c", _OPEN, "open", sys.base_prefix]
    run = subprocess.run(
        [*opened, *NOBODY, sys.executable, "-B", "-c", FAIL_OVER],
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert run.stdout == "failed over\n", run.stderr
