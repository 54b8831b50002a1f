#!/bin/bash
# Runs glusterd with a file system for bricks, XFS on a sparse file, at /bricks.
set -euo pipefail
# Loop devices that the host creates later have no device files here.
for i in $(seq 0 63); do [ -e "/dev/loop$i" ] || mknod "/dev/loop$i" b 7 "$i"; done
if [ ! -e /var/bricks/image ]; then
  truncate -s 8G /var/bricks/new
  mkfs.xfs -q /var/bricks/new
  mv /var/bricks/new /var/bricks/image
fi
mkdir -p /bricks
# Not every kernel has quota for XFS.
mount -o loop,prjquota /var/bricks/image /bricks || mount -o loop /var/bricks/image /bricks
# A pid file of a killed container names a process of another program.
rm -rf /run/gluster /var/run/glusterd.pid
trap 'exit 0' TERM INT
# The shell waits for ended bricks, which become its children.
glusterd -N --log-level WARNING --log-file /dev/stdout &
wait
