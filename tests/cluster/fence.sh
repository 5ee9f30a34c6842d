#!/bin/sh
# A fence agent by ClusterLabs' stdin interface that works no switch: the test does, or doesn't.
#
# Each `off` adds the plug to /mnt/disk/fence/asked, and fails where there is a /mnt/disk/fence/broken.
# /mnt/disk/fence/PLUG.off, written by the test, is what `status` calls off.

where=/mnt/disk/fence
while IFS='=' read -r key value; do
    case $key in
    action) action=$value ;;
    plug) plug=$value ;;
    esac
done
case $action in
off)
    echo "$plug" >>$where/asked
    [ ! -e $where/broken ] || { echo "the switch can't be reached"; exit 1; }
    ;;
status)
    [ ! -e "$where/$plug.off" ] || { echo "Status: OFF"; exit 2; }
    echo "Status: ON"
    ;;
esac
