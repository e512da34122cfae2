"""Consumers that sleep while nothing comes."""

from typing import Final

from aiokafka import AIOKafkaConsumer

_LOOK_S: Final = 5.0
"""A fetcher is woken by all that concerns it; aiokafka's looks for itself every 0.2 s besides."""


def let_rest(consumer: AIOKafkaConsumer) -> None:
    """Keep the fetcher of a started consumer from waking up five times a second for nothing.

    A process has a dozen of them, and aiokafka's constructor has no option for it.
    """
    consumer._fetcher._fetcher_timeout = _LOOK_S  # noqa: SLF001
