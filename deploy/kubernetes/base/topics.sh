#!/bin/sh
# Creates what is missing, and changes nothing that is there: kafka-topics.sh of Apache Kafka.
# At the first time, if the group has no offsets, it also says where the scorers begin: they run
# with auto.offset.reset=error, so that a group whose offsets Kafka has forgotten stops, and does
# not score everything again.
# KAFKA: the brokers; PARTITIONS and COPIES: of each topic; CLIENT: a file with TLS and login;
# GROUP: the scorers' group.
set -eu
: "${KAFKA:?the brokers, as kafka:9092}"
partitions=${PARTITIONS:-6}
copies=${COPIES:-1}
bin=${KAFKA_BIN:-/opt/kafka/bin}
day=86400000
# Of three copies two must be written, or an acknowledged record could go with its only broker.
in_sync=$((copies > 2 ? 2 : 1))

group=${GROUP:-stream-scorer}

call() {
  command=$1
  shift
  "$bin/$command" --bootstrap-server "$KAFKA" ${CLIENT:+--command-config "$CLIENT"} "$@"
}

create() {
  topic=$1
  count=$2
  shift 2
  call kafka-topics.sh --create --if-not-exists --topic "$topic" --partitions "$count" \
    --replication-factor "$copies" --config min.insync.replicas="$in_sync" "$@"
}

# Columns: group, topic, partition, committed offset.
has_offsets() {
  call kafka-consumer-groups.sh --describe --group "$group" 2>/dev/null |
    awk '$2 == "transactions" && $4 ~ /^[0-9]+$/ { found = 1 } END { exit !found }'
}

# The dead letters come last: no scorer joins before all of its topics are there, and a run that broke
# off is begun again.
there=$(call kafka-topics.sh --list)
create transactions "$partitions" --config retention.ms=$((7 * day))
if ! echo "$there" | grep -qx transactions-dlq && ! has_offsets; then
  call kafka-consumer-groups.sh --group "$group" --topic transactions \
    --reset-offsets --to-earliest --execute
fi
create fraud-alerts "$partitions" --config retention.ms=$((90 * day))
create fraud-scores "$partitions" --config retention.ms=$((7 * day))
# The newest label of each transaction stays; a label is never deleted by age.
create fraud-labels "$partitions" --config cleanup.policy=compact
create fraud-quality 1 --config cleanup.policy=compact
create fraud-control 1 --config cleanup.policy=compact
# A dead letter has its record's own timestamp, which may be years old: retention counts from when
# it was written (its `dlq.source.timestamp` header has the other).
written=message.timestamp.type=LogAppendTime
create transactions-parked "$partitions" --config retention.ms=$((30 * day)) --config "$written"
create transactions-dlq "$partitions" --config retention.ms=$((14 * day)) --config "$written"
