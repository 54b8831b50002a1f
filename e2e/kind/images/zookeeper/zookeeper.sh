#!/bin/sh
# Runs the ZooKeeper server of pod NAME-<ordinal>, in a StatefulSet of REPLICAS pods with headless Service NAME. DATA is the directory
# of snapshots, LOG that of transactions.
set -eu
name=${POD_NAME%-*}
id=$((${POD_NAME##*-} + 1))
suffix=$name.$POD_NAMESPACE.svc.cluster.local
{
  cat <<END
tickTime=2000
initLimit=30
syncLimit=10
dataDir=$DATA
dataLogDir=$LOG
clientPort=2181
admin.enableServer=false
standaloneEnabled=false
quorumListenOnAllIPs=true
END
  i=0
  while [ "$i" -lt "$REPLICAS" ]; do
    echo "server.$((i + 1))=$name-$i.$suffix:2888:3888"
    i=$((i + 1))
  done
} >/tmp/zoo.cfg
if [ -s "$DATA/myid" ] && [ "$(cat "$DATA/myid")" != "$id" ]; then
  echo "$DATA has the data of server $(cat "$DATA/myid"), and this is server $id" >&2
  exit 1
fi
echo "$id" >"$DATA/myid"
exec java -Xmx96m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
  -cp '/opt/zookeeper/libs/*' org.apache.zookeeper.server.quorum.QuorumPeerMain /tmp/zoo.cfg
