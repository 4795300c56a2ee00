#!/bin/sh
# Creates what is missing, and changes nothing that is there: kafka-topics.sh of Apache Kafka.
# KAFKA: the brokers; PARTITIONS and COPIES: of each topic; CLIENT: a file with TLS and login.
set -eu
: "${KAFKA:?the brokers, as kafka:9092}"
partitions=${PARTITIONS:-6}
copies=${COPIES:-1}
bin=${KAFKA_BIN:-/opt/kafka/bin}
day=86400000
# Of three copies two must be written, or an acknowledged record could go with its only broker.
in_sync=$((copies > 2 ? 2 : 1))

create() {
  topic=$1
  count=$2
  shift 2
  "$bin/kafka-topics.sh" --bootstrap-server "$KAFKA" ${CLIENT:+--command-config "$CLIENT"} \
    --create --if-not-exists --topic "$topic" --partitions "$count" --replication-factor "$copies" \
    --config min.insync.replicas="$in_sync" "$@"
}

create transactions "$partitions" --config retention.ms=$((7 * day))
create fraud-alerts "$partitions" --config retention.ms=$((90 * day))
create fraud-scores "$partitions" --config retention.ms=$((7 * day))
# The newest label of each transaction stays; a label is never deleted by age.
create fraud-labels "$partitions" --config cleanup.policy=compact
# A dead letter has its record's own timestamp, which may be years old: retention counts from when
# it was written (its `dlq.source.timestamp` header has the other).
written=message.timestamp.type=LogAppendTime
create transactions-dlq "$partitions" --config retention.ms=$((14 * day)) --config "$written"
create transactions-parked "$partitions" --config retention.ms=$((30 * day)) --config "$written"
create fraud-quality 1 --config cleanup.policy=compact
create fraud-control 1 --config cleanup.policy=compact
