#!/bin/sh
# Makes a fresh Debian 12 or Ubuntu 24.04 ready for `make demo` and `make test`.
#
# Installs the Debian packages that are missing (as root; otherwise names them in one line and ends),
# creates .venv and installs exactly what requirements/dev.lock pins, then the project itself, editable.
# A second run does nothing until pyproject.toml, a lock or the interpreter changes.
set -eu
cd "$(dirname "$0")/.."
venv=.venv
stamp=$venv/.bootstrapped

say() { printf 'bootstrap: %s\n' "$*"; }
has() { command -v "$1" >/dev/null 2>&1; }

find_python() { # the first Python >= 3.11 that can make an environment
    for python in python3 python3.13 python3.12 python3.11; do
        if "$python" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$python"
            return
        fi
    done
}

can_build_systemd() { # systemd-python has no wheels
    has gcc && has pkg-config && pkg-config --exists libsystemd &&
        "$python" -c 'import pathlib, sys, sysconfig
sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())'
}

missing_packages() {
    has ip || echo iproute2
    has nft || echo nftables
    { has unshare && has nsenter && has setpriv; } || echo util-linux
    has mount || echo mount
    # The virtual machines of tests/lab, which only root can start.
    if [ "$(id -u)" = 0 ]; then
        has qemu-system-x86_64 || echo qemu-system-x86 qemu-system-common
        has mke2fs || echo e2fsprogs
        has depmod || echo kmod
        has mmdebstrap || echo mmdebstrap
        # The tests of the units: a systemd of their own, in namespaces.
        { [ -x /lib/systemd/systemd ] && has dbus-daemon; } || echo systemd dbus
    fi
    # The tests of the mirror kit serve an image on loopback.
    has nbdkit || echo nbdkit
    # The tests of fencing call Debian's own agents.
    [ -x /usr/sbin/fence_dummy ] || echo fence-agents
    # `make packages` and its tests.
    has dpkg-deb || echo dpkg
    has rpmbuild || echo rpm
    # The watchdog's numbers are held against the kernel's header.
    [ -e /usr/include/linux/watchdog.h ] || echo linux-libc-dev
    # The example's applications run under the system's own interpreter.
    [ -x /usr/bin/python3 ] || echo python3
    [ -n "$python" ] || echo python3 python3-venv
    # Optional: the agent speaks to systemd without it as well, so only root is asked for it.
    if [ "$(id -u)" = 0 ] && ! { [ -n "$python" ] && can_build_systemd; }; then
        echo gcc pkg-config libsystemd-dev python3-dev
    fi
}

install_packages() {
    export DEBIAN_FRONTEND=noninteractive
    say "installing Debian packages: $*"
    # The list of packages may be missing or old: it is fetched once, if the first try fails.
    apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1 || {
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends "$@" >/dev/null
    }
}

python=$(find_python)
missing=$(missing_packages | tr ' ' '\n' | sort -u | tr '\n' ' ')
if [ -n "$missing" ]; then
    if [ "$(id -u)" != 0 ]; then
        say "Debian packages are missing; install them with: sudo apt-get install -y $missing" >&2
        exit 1
    fi
    # shellcheck disable=SC2086  # a list of words
    install_packages $missing
    python=$(find_python)
fi
if [ -z "$python" ]; then
    say "no Python >= 3.11 with venv was found" >&2
    exit 1
fi

wanted=$({ "$python" -VV && can_build_systemd && echo systemd; cat pyproject.toml requirements/*.lock; } | sha256sum)
if [ -x $venv/bin/python ] && [ "$(cat $stamp 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi

say "installing Python packages into $venv ($("$python" -V))"
[ -x $venv/bin/python ] || "$python" -m venv $venv
pip() { $venv/bin/python -m pip --disable-pip-version-check --quiet --quiet "$@"; }
pip install --require-hashes --only-binary :all: -r requirements/dev.lock
pip install --no-deps --no-build-isolation --editable .
if can_build_systemd; then
    pip install --require-hashes --no-deps --no-build-isolation -r requirements/systemd.lock ||
        say "systemd-python could not be built; the agent runs without it"
fi
echo "$wanted" >$stamp
