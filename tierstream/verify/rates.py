"""The rates that calls were billed at, against those that hold today. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from streams.calls.pricing import PriceBook, UnknownPriceError, follows_settings
from tierstream.verify.findings import Check, Findings
from topics.journal import CallEnded, Rates, Usage

_ROLLOUT: Final = timedelta(minutes=15)
"""How long workers with old and with new prices run side by side."""


@dataclass(slots=True)
class _Others:
    """Calls of one model, by itself or in batches, at rates that don't hold today."""

    rates: Rates
    today: Rates
    call_id: UUID
    first_ms: int
    last_ms: int
    calls: int = 1


class RatesAudit:
    """Compares the rates of all calls of a deployment with its price book.

    Prices change with the settings and with the library's version, and calls from before were billed rightly. Such
    calls come before those at today's rates; and one version of the list never changes. What batches of a provider
    answered has rates of its own, which follow from the settings too.

    Args:
        findings: Where problems go.
        prices: Today's.
    """

    def __init__(self, findings: Findings, prices: PriceBook) -> None:
        self._findings = findings
        self._prices = prices
        self._others: dict[tuple[str, Rates], _Others] = {}
        self._right_since_ms: dict[str, int] = {}
        """The first call at today's rates, by model."""

    def add(self, call: CallEnded, at_ms: int) -> None:
        """Take note of a call that the broker has the end of since `at_ms`, ms since the epoch."""
        if call.rates is None or call.usage is None or not call.has_left:
            return
        try:
            known = list(self._known(call, call.usage))
        except UnknownPriceError:
            # A model that was dropped from the settings: nobody can tell any more.
            return
        ref = f"{call.provider}/{call.model}{' in batches' if call.provider_batch else ''}"
        if any(_money(rates) == _money(call.rates) for rates in known):
            self._right_since_ms[ref] = min(at_ms, self._right_since_ms.get(ref, at_ms))
            return
        found = self._others.get((ref, call.rates))
        if found is None:
            self._others[ref, call.rates] = _Others(call.rates, known[0], call.call_id, at_ms, at_ms)
            return
        found.calls += 1
        found.last_ms = max(found.last_ms, at_ms)
        if at_ms < found.first_ms:
            found.first_ms, found.call_id = at_ms, call.call_id

    def finish(self) -> None:
        """Judge the rates that don't hold today; those of one model that are the same are named once."""
        for (ref, _), found in self._others.items():
            check = Check.REPRICED if self._held_before(ref, found) else Check.MISPRICED
            calls = "" if found.calls == 1 else f", and {found.calls - 1} more calls"
            detail = f"{ref} at {_named(found.rates)}, today it is {_named(found.today)}{calls}"
            self._findings.add(check, str(found.call_id), detail)

    def _known(self, call: CallEnded, usage: Usage) -> Iterator[Rates]:
        """Yield today's rates for the length of the call; parts of a shared one differ by a token."""
        for more in (0, 1, -1) if call.shares > 1 else (0,):
            whole = usage.model_copy(update={"input": (usage.input + more) * call.shares})
            batch = call.provider_batch is not None
            yield self._prices.rates(call.provider, call.model, call.started_at, whole, batch=batch)

    def _held_before(self, ref: str, found: _Others) -> bool:
        is_of_today = found.rates.source == found.today.source
        if is_of_today and not follows_settings(found.rates.source):
            return False
        right_since_ms = self._right_since_ms.get(ref)
        if right_since_ms is None:
            return True
        rollout_ms = int(_ROLLOUT.total_seconds() * 1000)
        return found.first_ms < right_since_ms and found.last_ms <= right_since_ms + rollout_ms


def _money(rates: Rates) -> tuple[object, ...]:
    return rates.input, rates.output, rates.cached, rates.cache_write


def _named(rates: Rates) -> str:
    written = "" if rates.cache_write is None else f", {rates.cache_write} written to the cache"
    return f"${rates.input} in, {rates.output} out, {rates.cached} cached{written} ({rates.source})"
