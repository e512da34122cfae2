"""What a router under a budget is compared with: who knows nothing of requests, and who knows all outcomes."""

import numpy as np

from tierstream.training.evaluation import Array, Ints


def no_skill(rewards: Array, costs: Array, budget_usd: float) -> float:
    """Return the mean reward of the best mix of models that does not look at requests.

    Args:
        rewards: (requests, models)
        costs: (requests, models) In dollars.
        budget_usd: Mean cost of a request; where no model is as cheap, the cheapest is taken.
    """
    return _on_hull(rewards.mean(axis=0), costs.mean(axis=0), budget_usd)


def oracle(rewards: Array, costs: Array, budget_usd: float) -> float:
    """Return the highest mean reward that the budget allows to who knows every outcome; see `no_skill`."""
    return routed(rewards, costs, rewards, costs, budget_usd)[0]


def routed(
    expected_rewards: Array, expected_costs: Array, rewards: Array, costs: Array, budget_usd: float
) -> tuple[float, Array]:
    """Return what comes of choosing by these expectations, at the price of a dollar that spends the budget.

    Args:
        expected_rewards: (requests, models)
        expected_costs: (requests, models)
        rewards: (requests, models) What they truly bring.
        costs: (requests, models)
        budget_usd: Mean cost of a request.

    Returns:
        The mean reward, and the share of each model (models,).
    """
    rows = np.arange(len(rewards))

    def chosen(price: float) -> Ints:
        return np.asarray((expected_rewards - price * expected_costs).argmax(axis=1))

    def outcome(arms: Ints) -> tuple[float, float, Array]:
        shares = np.bincount(arms, minlength=rewards.shape[1]) / len(rows)
        return float(rewards[rows, arms].mean()), float(costs[rows, arms].mean()), shares

    reward, cost, shares = outcome(chosen(0.0))
    if cost <= budget_usd:
        return reward, shares
    low, high = 1e-6, 1e12
    for _ in range(80):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if outcome(chosen(middle))[1] > budget_usd else (low, middle)
    dear, cheap = outcome(chosen(low)), outcome(chosen(high))
    # A part of the requests that are worth exactly the price fills the budget up.
    part = (budget_usd - cheap[1]) / (dear[1] - cheap[1]) if cheap[1] < budget_usd < dear[1] else 0.0
    return cheap[0] + part * (dear[0] - cheap[0]), cheap[2] + part * (dear[2] - cheap[2])


def _on_hull(rewards: Array, costs: Array, budget_usd: float) -> float:
    """Return the highest reward of a mix of two points that costs no more than the budget."""
    within = np.flatnonzero(costs <= budget_usd)
    if not len(within):
        return float(rewards[costs.argmin()])
    best = float(rewards[within].max())
    for cheap in within:
        for dear in np.flatnonzero(costs > budget_usd):
            part = (budget_usd - costs[cheap]) / (costs[dear] - costs[cheap])
            best = max(best, float(rewards[cheap] + part * (rewards[dear] - rewards[cheap])))
    return best
