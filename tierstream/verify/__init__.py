"""Proving the invariants from the records themselves: what Kafka, ClickHouse and the providers wrote down must agree."""
