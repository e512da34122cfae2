"""What `llm.control` says was learned, as every process keeps it: rates of the judge, and states of canaries."""

from collections.abc import Mapping

from streams.control.control_state import Learned, Withdrawn
from topics.learned import CanaryState, JudgeRate, JudgeRates


class LearnedState:
    """The latest of each; empty where nothing was learned yet, so that the settings hold."""

    def __init__(self) -> None:
        self._rates: JudgeRates | None = None
        self._cells: Mapping[tuple[int, str, str], JudgeRate] = {}
        self._canaries: dict[str, CanaryState] = {}

    def note(self, entry: Learned | Withdrawn) -> None:
        """Let an entry of the topic replace the one before it; others are passed over."""
        match entry:
            case Learned(JudgeRates() as rates):
                self._rates = rates
                self._cells = {(cell.tier, cell.model, cell.query_type): cell for cell in rates.cells}
            case Learned(CanaryState() as state):
                self._canaries[state.name] = state
            case _:
                pass

    def judge_rate(self, tier: int, model: str, query_type: str) -> tuple[float, str] | None:
        """Return how often the judge looks, and why; None where nothing was learned.

        Args:
            tier: Of the answer.
            model: `provider/model` that gave it.
            query_type: Of the request.
        """
        if self._rates is None:
            return None
        cell = self._cells.get((tier, model, query_type))
        return (self._rates.others, self._rates.reason) if cell is None else (cell.rate, cell.reason)

    def canary(self, name: str, model: str) -> CanaryState | None:
        """Return the state of a canary; None where nothing was said of it with this model."""
        found = self._canaries.get(name)
        return found if found is not None and found.model == model else None
