"""What every process keeps of what was learned."""

from datetime import UTC, datetime

from streams.control.control_state import Learned, Withdrawn
from streams.control.learned_state import LearnedState
from topics.learned import CanaryState, JudgeRate, JudgeRates

AT = datetime(2026, 3, 1, tzinfo=UTC)
CELL = JudgeRate(tier=1, model="groq/m", query_type="code", rate=0.4, reason="12 of 60 failed")


def rates(others: float, *cells: JudgeRate) -> Learned:
    return Learned(JudgeRates(others=others, reason="all others", cells=cells, at=AT), 0)


def canary(model: str, state: str) -> Learned:
    figures = dict.fromkeys(("candidate_requests", "candidate_failures", "incumbent_requests", "incumbent_failures"), 0)
    return Learned(CanaryState(name="next", model=model, state=state, reason="", by="learn", at=AT, **figures), 0)


def test_nothing_is_known_at_first():
    state = LearnedState()
    assert state.judge_rate(1, "groq/m", "code") is None
    assert state.canary("next", "groq/n") is None


def test_a_rate_is_that_of_its_cell_or_of_all_others():
    state = LearnedState()
    state.note(rates(0.05, CELL))
    assert state.judge_rate(1, "groq/m", "code") == (0.4, "12 of 60 failed")
    assert state.judge_rate(2, "groq/m", "code") == (0.05, "all others")
    state.note(rates(0.01))
    assert state.judge_rate(1, "groq/m", "code") == (0.01, "all others")


def test_a_canary_speaks_of_its_model_alone():
    state = LearnedState()
    state.note(canary("groq/n", "stopped"))
    found = state.canary("next", "groq/n")
    assert found is not None
    assert found.state == "stopped"
    assert state.canary("next", "groq/other") is None


def test_what_is_taken_back_of_others_changes_nothing():
    state = LearnedState()
    state.note(rates(0.05))
    state.note(Withdrawn("model:abc"))
    assert state.judge_rate(1, "groq/m", "code") == (0.05, "all others")
