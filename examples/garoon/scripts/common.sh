# What the example's scripts share: sourced by each of them.
#
# Called as LifeKeeper calls generic scripts: -t TAG -i ID, recover with -d TAG -n ID.

tag= id=
while getopts t:i:d:n: option; do
    case $option in
    t | d) tag=$OPTARG ;;
    i | n) id=$OPTARG ;;
    *) exit 2 ;;
    esac
done
[ -n "$tag" ] && [ -n "$id" ] || {
    echo "usage: ${0##*/} -t TAG -i ID" >&2
    exit 2
}

apps=${0%/*}/../../apps
port=3770            # cyde's
data=/mnt/DIR1/cyde.data
lock=/run/$id.lock   # held by the application while it lives; its process number is in it
stop_within=10       # seconds that TERM has before KILL

# Lean, so that a switchover takes no longer than it must: no site packages, no compiled files left.
application() { python3 -BES "$apps/$id.py" "$@"; }

is_running() { ! flock --nonblock "$lock" true; }

# Returns 0 only when the application is certainly gone: its lock can be had.
stop() {
    is_running || return 0
    kill -TERM "$(cat "$lock")"
    flock --timeout "$stop_within" "$lock" true && return 0
    echo "$tag: still running after $stop_within s, killing it" >&2
    kill -KILL "$(cat "$lock")"
    flock --timeout 2 "$lock" true
}
