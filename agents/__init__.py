"""Who handles it: one file, one stage, one edge of the topology. `STAGES` has those that Faust runs."""

from typing import Any

from agents.classify import classify
from agents.escalate import escalate
from agents.feedback import feedback
from agents.infer import infer
from agents.shadow import shadow
from agents.validate import validate
from streams.runtime.stage import Stage

STAGES: tuple[Stage[Any], ...] = (classify, infer, validate, escalate, shadow, feedback)
"""Every Faust stage, in the order in which a request meets them."""
