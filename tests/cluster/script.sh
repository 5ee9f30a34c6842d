#!/bin/sh
# Stands before the example's scripts in tests: writes each call down, and goes wrong as a test says.
#
# /mnt/disk/calls has a line "MILLISECONDS TAG ACTION" for each call, by CLOCK_BOOTTIME. If there is a
# /mnt/disk/faults/TAG.ACTION it is run before the example's script, e.g. "exit 1" or "sleep 1000".
# KAGE_INFO: where those scripts are.

read -r up _ </proc/uptime # hundredths of a second
echo "${up%.*}${up#*.}0 $KAGE_TAG $KAGE_ACTION" >>/mnt/disk/calls
fault=/mnt/disk/faults/$KAGE_TAG.$KAGE_ACTION
[ ! -e "$fault" ] || . "$fault"

scripts=$KAGE_INFO/$KAGE_ID
case $KAGE_ACTION in
quick-check) exec "$scripts/quickCheck" "$@" ;;
force-remove) exec "$scripts/remove" "$@" ;;
*) exec "$scripts/$KAGE_ACTION" "$@" ;;
esac
