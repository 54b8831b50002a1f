#!/bin/sh
# Runs the Kafka broker of pod NAME-<id>, in a StatefulSet of REPLICAS pods with headless Service NAME. DATA is the data directory.
set -eu
name=${POD_NAME%-*}
id=${POD_NAME##*-}
data=${DATA:-/data}
suffix=$name.$POD_NAMESPACE.svc.cluster.local
voters='' i=0
while [ "$i" -lt "$REPLICAS" ]; do
  voters=$voters${voters:+,}$i@$name-$i.$suffix:9093
  i=$((i + 1))
done
copies=$REPLICAS
[ "$copies" -lt 3 ] || copies=3
in_sync=$((copies > 1 ? copies - 1 : 1))
cat >/tmp/server.properties <<EOF
process.roles=broker,controller
node.id=$id
controller.quorum.voters=$voters
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
advertised.listeners=PLAINTEXT://$POD_NAME.$suffix:9092
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$data
num.partitions=3
default.replication.factor=$copies
min.insync.replicas=$in_sync
offsets.topic.replication.factor=$copies
offsets.topic.num.partitions=5
transaction.state.log.replication.factor=$copies
transaction.state.log.min.isr=$in_sync
transaction.state.log.num.partitions=5
group.initial.rebalance.delay.ms=500
controlled.shutdown.enable=true
EOF
cat >/tmp/log4j2.properties <<EOF
status=ERROR
appender.stdout.type=Console
appender.stdout.name=stdout
appender.stdout.layout.type=PatternLayout
appender.stdout.layout.pattern=%d{ISO8601} %p %m (%c)%n
rootLogger.level=WARN
rootLogger.appenderRef.stdout.ref=stdout
EOF
run() { exec java -Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile=/tmp/log4j2.properties -cp '/opt/kafka/libs/*' "$@"; }
(run kafka.tools.StorageTool format --ignore-formatted -t "$CLUSTER_ID" -c /tmp/server.properties)
run kafka.Kafka /tmp/server.properties
