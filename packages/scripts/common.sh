# What both packages' scripts do, where it is the same. POSIX sh, under `set -e`.
#
# Keeps: no script starts, stops or touches what the agent protects. An agent that is stopped says goodbye and
# its applications run on (KillMode=process); peers leave them alone meanwhile.

unit=kagemusha.service
was_running=/run/kagemusha.was-running

has_systemd() { # not so in a chroot or a container
    [ -d /run/systemd/system ]
}

# Before the files change: an old agent must not import new modules, nor end without a goodbye.
pause_agent() {
    has_systemd || return 0
    case $(systemctl is-active $unit || :) in
    active | activating | reloading)
        : >$was_running
        systemctl stop $unit
        ;;
    esac
}

# After that. A failure is the package manager's to show; the mark stays, so that configuring again tries again.
resume_agent() {
    has_systemd || return 0
    systemctl daemon-reload
    [ -e $was_running ] || return 0
    systemctl start $unit || {
        echo "kagemusha: the agent was running before and doesn't start now; what it protects goes on." >&2
        echo "kagemusha: see journalctl --unit $unit, and kage check" >&2
        return 1
    }
    rm -f $was_running
}

retire_agent() {
    rm -f $was_running
    if has_systemd; then
        systemctl disable --quiet --now $unit
    elif command -v systemctl >/dev/null; then
        systemctl disable --quiet $unit
    fi
}

set_up() {
    [ ! -e /usr/lib/tmpfiles.d/kagemusha.conf ] || systemd-tmpfiles --create kagemusha.conf
}
