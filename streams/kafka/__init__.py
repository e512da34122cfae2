"""Kafka as the stages use it: publishing, reading, consumer groups, topics, and the brokers' time."""
