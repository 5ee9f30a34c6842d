#!/bin/sh
# Writes the lock files anew from pyproject.toml: exact versions, with hashes, for every Python from 3.11 on.
#   runtime.lock  what an agent needs          systemd.lock  systemd-python, built from source
#   dev.lock      that, the tests' tools and the build backend
#   checkov.lock  checkov, whose environment is its own
set -eu
cd "$(dirname "$0")/.."
uv_version=0.13.9
[ -x build/lock/bin/uv ] || {
    .venv/bin/python -m venv build/lock
    build/lock/bin/python -m pip install --quiet "uv==$uv_version"
}
compile() {
    out=$1
    shift
    build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --custom-compile-command "make lock" "$@" --output-file "requirements/$out"
}
compile runtime.lock pyproject.toml "$@"
compile dev.lock pyproject.toml requirements/build.in --group dev "$@"
compile checkov.lock requirements/checkov.in "$@"
compile systemd.lock - "$@" <<IN
systemd-python>=235
IN
