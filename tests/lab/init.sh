#!/bin/busybox sh
# A guest's first process. Its root: the host's tree by virtiofs, over it the image of packages, both read
# only, and over those a tmpfs. /mnt/disk is its own second disk, which outlives a power cut.
# On the kernel's command line: lab.name=HOSTNAME lab.project=FOLDER; lab.root=own: instead of all that, the
# first disk is the root, and what is installed there is the first process.
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
for word in $(cat /proc/cmdline); do
    case $word in
    lab.name=*) name=${word#*=} ;;
    lab.project=*) project=${word#*=} ;;
    lab.root=*) root=${word#*=} ;;
    esac
done
for module in virtio_pci virtio_console virtiofs overlay virtio_blk virtio_net; do modprobe $module; done

disk() { # the device with that serial number
    for block in /sys/block/vd*; do
        [ "$(cat "$block/serial")" != "$1" ] || echo "/dev/${block##*/}"
    done
}

if [ "$root" = own ]; then
    mount -t ext4 "$(disk data)" /new || poweroff -f
    echo "$name" >/new/etc/hostname
    echo "127.0.0.1 localhost $name" >/new/etc/hosts
    echo "$name" | md5sum | cut -c 1-32 >/new/etc/machine-id
    for each in dev proc sys; do mount --move /$each /new/$each; done
    exec switch_root /new /sbin/init
fi

mount -t virtiofs -o ro host /ro
mount -t ext4 -o ro "$(disk tools)" /tools
mount -t ext4 "$(disk state)" /state
mount -t tmpfs -o size=60%,mode=755 rw /rw
mkdir /rw/upper /rw/work
mount -t overlay -o lowerdir=/tools:/ro,upperdir=/rw/upper,workdir=/rw/work overlay /new || poweroff -f
for each in dev proc sys; do mount --move /$each /new/$each; done
cd /new || poweroff -f
mkdir -p dev/pts dev/shm
mount -t devpts devpts dev/pts
for each in run dev/shm mnt; do mount -t tmpfs -o mode=1777 tmpfs $each; done
mkdir -p mnt/disk mnt/DIR1 run/lock var/lib/nfs
mount --move /state mnt/disk

hostname "$name"
echo "$name" >etc/hostname
echo "127.0.0.1 localhost $name" >etc/hosts
ip link set lo up
mkdir -p etc/mdadm
echo 'AUTO -all' >etc/mdadm/mdadm.conf # no array comes up by itself
cp /bin/busybox run/busybox
cat >etc/inittab <<END
::respawn:/usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 MDADM_NO_UDEV=1 /usr/bin/python3 -I -S -B $project/tests/lab/inside.py
END
cd /
exec switch_root /new /run/busybox init
