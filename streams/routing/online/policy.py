"""What workers decide by: a small immutable snapshot of what the learner knows."""

import base64
import binascii
import json
import math
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np

from streams.routing.online.features import Floats

_FORMAT: Final = 1
_MOST_ARMS: Final = 64
_MOST_BYTES: Final = 1_000_000
_LARGEST_EXPONENT: Final = 50.0


class PolicyError(ValueError):
    """A snapshot can't be used; the message is one line that says why."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The arm for a request, and why.

    Attributes:
        arm: Its number, from 1 on.
        name: Its name.
        explored: Whether it was chosen to learn, not for being the best.
        rewards: Expected of each arm.
        costs_usd: Expected of each arm.
        price: Reward that a dollar has to bring.
    """

    arm: int
    name: str
    explored: bool
    rewards: tuple[float, ...]
    costs_usd: tuple[float, ...]
    price: float


@dataclass(frozen=True, slots=True)
class OnlinePolicy:
    """Decides which arm a request goes to; the same request always gets the same arm from it.

    Attributes:
        version: Counts the snapshots of a learner.
        features: Version of the features that the weights belong to.
        arms: Names.
        reward_weights: (arms, size) Of the expected reward.
        cost_weights: (arms, size) Of the logarithm of the expected dollars.
        doubts: (arms,) Standard deviation of what is believed of each arm's reward, beyond that of a well-known arm. By
            so much an arm may seem worse than a dearer one and still be chosen.
        price: Reward that a dollar has to bring.
        ceiling_usd: What a call may be expected to cost; the cheapest allowed arm always may.
        exploration: Highest probability that a request is used to learn.
        floor: Of that, for each arm however bad it seems: it may have become better.
        exploration_usd: What learning from one arm may cost, a request on average.
    """

    version: int
    features: str
    arms: tuple[str, ...]
    reward_weights: Floats
    cost_weights: Floats
    doubts: tuple[float, ...]
    price: float
    ceiling_usd: float
    exploration: float
    floor: float
    exploration_usd: float

    def choose(self, features: Floats, u: float, lowest: int = 1, highest: int | None = None) -> Choice:
        """Choose an arm; well below 0.1 ms.

        Args:
            features: Of the request: (size,).
            u: At least 0 and below 1, from the request's digest: what chance would be, were it not for repeats.
            lowest: First arm that is allowed.
            highest: Last one; default: of all.

        Raises:
            ValueError: No arm is allowed, or u is out of range.
        """
        highest = len(self.arms) if highest is None else highest
        if not 1 <= lowest <= highest <= len(self.arms):
            raise ValueError(f"arms {lowest} to {highest} of {len(self.arms)}: none is left")
        if not 0 <= u < 1:
            raise ValueError(f"u is {u}, not from 0 to below 1")
        rewards = (self.reward_weights @ features).tolist()
        costs = [_exp(value) for value in (self.cost_weights @ features).tolist()]
        allowed = list(range(lowest - 1, highest))
        cheapest = min(allowed, key=costs.__getitem__)
        allowed = [arm for arm in allowed if arm == cheapest or costs[arm] <= self.ceiling_usd]
        values = [reward - self.price * cost for reward, cost in zip(rewards, costs, strict=True)]
        best = max(allowed, key=lambda arm: (values[arm], -costs[arm]))
        # The benefit of the doubt: else a cheaper arm that is as good would wait for chance to prove it.
        best = max(
            (arm for arm in allowed if arm == best or costs[arm] < costs[best]),
            key=lambda arm: values[arm] + (0.0 if arm == best else self.doubts[arm]),
        )
        chosen = self._explored(best, allowed, values, costs, u)
        arm = best if chosen is None else chosen
        return Choice(arm + 1, self.arms[arm], chosen is not None, tuple(rewards), tuple(costs), self.price)

    def _explored(self, best: int, allowed: list[int], values: list[float], costs: list[float], u: float) -> int | None:
        """Choose each other arm with the probability that it is better (Thompson sampling), within the bounds."""
        chances = {}
        for arm in allowed:
            if arm == best:
                continue
            spread = math.hypot(self.doubts[arm], self.doubts[best])
            better = 0.5 * math.erfc((values[best] - values[arm]) / max(spread, 1e-12) / math.sqrt(2))
            extra = costs[arm] - costs[best]
            most = self.exploration_usd / extra if extra > 0 else 1.0
            chances[arm] = min(max(better, self.floor), most)
        total = sum(chances.values())
        scale = min(1.0, self.exploration / total) if total > 0 else 0.0
        passed = 0.0
        for arm, chance in chances.items():
            passed += chance * scale
            if u < passed:
                return arm
        return None

    def dumps(self) -> bytes:
        """Write it as JSON; weights as 32-bit floats in base64."""
        found: dict[str, Any] = {"format": _FORMAT}
        for field in fields(self):
            value = getattr(self, field.name)
            found[field.name] = _packed(value) if isinstance(value, np.ndarray) else value
        return json.dumps(found, separators=(",", ":")).encode()

    @classmethod
    def loads(cls, data: bytes) -> "OnlinePolicy":
        """Read what `dumps` wrote.

        Raises:
            PolicyError: It is something else, or makes no sense.
        """
        if len(data) > _MOST_BYTES:
            raise PolicyError(f"a policy of {len(data)} bytes: no learner writes more than {_MOST_BYTES}")
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            raise PolicyError("not a policy: no JSON") from None
        if not isinstance(found, dict) or found.get("format") != _FORMAT:
            raise PolicyError(f"not a policy of format {_FORMAT}: was it written by another version?")
        try:
            return _checked(cls(**{field.name: _read(field.name, found[field.name]) for field in fields(cls)}))
        except KeyError as error:
            raise PolicyError(f"not a policy: {error.args[0]} is missing") from None


def _read(name: str, value: object) -> Any:  # noqa: ANN401 - each field has its own type
    if name in {"reward_weights", "cost_weights"}:
        return _unpacked(name, value)
    if name == "version":
        return _typed(name, value, int)
    if name == "features":
        return _typed(name, value, str)
    if name in {"arms", "doubts"}:
        kind: type = str if name == "arms" else float
        return tuple(_typed(name, one, kind) for one in _typed(name, value, list))
    return _typed(name, value, float)


def _typed(name: str, value: object, kind: type) -> Any:  # noqa: ANN401 - of the type that is asked for
    if isinstance(value, bool) or not isinstance(value, int | float if kind is float else kind):
        raise PolicyError(f"{name} of the policy is no {kind.__name__}")
    if not isinstance(value, int | float) or kind is not float:
        return value
    try:
        return float(value)
    except OverflowError:
        raise PolicyError(f"{name} of the policy is out of range") from None


def _checked(policy: OnlinePolicy) -> OnlinePolicy:
    count = len(policy.arms)
    if not 1 <= count <= _MOST_ARMS or len(set(policy.arms)) != count:
        raise PolicyError(f"a policy has 1 to {_MOST_ARMS} arms of different names")
    shapes = {policy.reward_weights.shape, policy.cost_weights.shape}
    if len(shapes) != 1 or policy.reward_weights.shape[0] != count or len(policy.doubts) != count:
        raise PolicyError("weights and arms of the policy do not go together")
    finite = np.isfinite(policy.reward_weights).all() and np.isfinite(policy.cost_weights).all()
    numbers = (policy.price, policy.ceiling_usd, policy.exploration, policy.floor, policy.exploration_usd)
    if not finite or any(not math.isfinite(value) or value < 0 for value in (*numbers, *policy.doubts)):
        raise PolicyError("a number of the policy is out of range")
    if policy.exploration > 1 or policy.floor > policy.exploration:
        raise PolicyError("exploration of the policy is above 1, or below its floor")
    return policy


def _packed(values: Floats) -> dict[str, Any]:
    return {
        "shape": list(values.shape),
        "float32": base64.b64encode(values.astype("<f4").tobytes()).decode(),
    }


def _unpacked(name: str, value: Any) -> Floats:  # noqa: ANN401 - whatever JSON has there
    try:
        rows, columns = value["shape"]
        found = np.frombuffer(base64.b64decode(value["float32"], validate=True), dtype="<f4")
        return found.reshape(rows, columns).astype(np.float64)
    except (KeyError, TypeError, ValueError, OverflowError, binascii.Error):
        raise PolicyError(f"{name} of the policy can't be read") from None


def _exp(value: float) -> float:
    return math.exp(min(max(value, -_LARGEST_EXPONENT), _LARGEST_EXPONENT))
