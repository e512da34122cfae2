"""Proving the invariants from the records: what Kafka, ClickHouse and the providers wrote down must agree."""
