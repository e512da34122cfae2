"""Produces what stdin says to a topic: each line has a codec, a mode and values, divided by tabs."""

import sys

from confluent_kafka import KafkaError, Message, Producer


def main(servers: str, topic: str) -> None:
    for line in sys.stdin:
        codec, mode, *values = line.rstrip("\n").split("\t")
        produce(servers, topic, codec, mode, values)


def produce(servers: str, topic: str, codec: str, mode: str, values: list[str]) -> None:
    options = {"bootstrap.servers": servers, "compression.type": codec, "linger.ms": 20}
    if mode != "plain":
        options["transactional.id"] = f"{topic}.librdkafka.{codec}.{mode}"
    producer = Producer(options)
    if mode != "plain":
        producer.init_transactions()
        producer.begin_transaction()
    for value in values:
        producer.produce(topic, value, on_delivery=delivered)
    # What is aborted has to be on the broker first.
    producer.flush()
    if mode == "commit":
        producer.commit_transaction()
    elif mode == "abort":
        producer.abort_transaction()


def delivered(error: KafkaError | None, _: Message) -> None:
    if error is not None:
        sys.exit(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:])
