"""Twenty requests with answers, half of them bad, and results as the stages would publish them."""

import json
from decimal import Decimal
from uuid import uuid4

from tierstream.bench.answer_pairs import AnswerPair
from topics.results import Result, ResultStatus
from topics.tasks import Attempt, Source

_PRICE = {
    "type": "object",
    "properties": {"item": {"type": "string"}, "cents": {"type": "integer"}},
    "required": ["item", "cents"],
}
_RENT = "The rent is 900 euros a month, due on the third. Notice: 30 days.\n\n"

_GOOD = (
    ("What is the capital of Norway?", None, "Oslo."),
    ("What is 12 times 12?", None, "144."),
    ("Name a fruit that is yellow.", None, "A banana."),
    (f"{_RENT}When is the rent due?", None, "On the third of the month."),
    (f"{_RENT}How long is the notice?", None, "30 days."),
    ("Which month follows May?", None, "June follows May."),
    ("Which animal barks?", None, "The dog barks."),
    ("Is ice frozen water? One word.", None, "Yes"),
    ("Read the price: tea, 2.50", _PRICE, '{"item": "tea", "cents": 250}'),
    ("Read the price: milk, 1.30", _PRICE, '```json\n{"item": "milk", "cents": 130}\n```'),
)
_BAD = (
    ("schema", "Read the price: bread, 3.10", _PRICE, '{"item": "bread"}', "stop"),
    ("schema", "Read the price: jam, 4.00", _PRICE, '{"item": "jam", "cents": "four hundred"}', "stop"),
    ("schema", "Read the price: rice, 2.00", _PRICE, "The rice costs two euros.", "stop"),
    ("truncated", "Explain in two sentences why leaves are green.", None, "Leaves are green because the", "length"),
    ("truncated", "Tell me in one sentence what a comet is.", None, "A comet is a body of ice and", "length"),
    ("refusal", "Who wrote Faust?", None, "I'm sorry, but I don't know.", "stop"),
    ("contradiction", f"{_RENT}What is the rent?", None, "The rent is 750 euros a month.", "stop"),
    ("invented", f"{_RENT}May I keep a dog?", None, "Yes: clause 14 of the lease permits dogs.", "stop"),
    ("language", "Which colour has the sky on a clear day?", None, "Der Himmel ist an klaren Tagen blau.", "stop"),
    ("loop", "Say what bees make.", None, "Bees make honey. " * 40, "stop"),
)


def _pair(number, kind, prompt, schema, answer, finish="stop"):
    request = {"messages": [{"role": "user", "content": prompt}]}
    if schema is not None:
        request["response_schema"] = schema
    return {"id": f"t-{number:02d}", "kind": kind, "request": request, "answer": answer, "finish_reason": finish}


PAIRS = [
    *(_pair(number, "good", *one) for number, one in enumerate(_GOOD)),
    *(_pair(number, *one) for number, one in enumerate(_BAD, len(_GOOD))),
]


def write_pairs(path, pairs=PAIRS):
    path.write_text("\n".join(json.dumps(pair) for pair in pairs))
    return path


def pair_of(kind="good", answer="Oslo.", **more):
    return AnswerPair.model_validate({**_pair(0, kind, "What is the capital of Norway?", None, answer), **more})


def ended(*steps, content="Oslo.", status=ResultStatus.OK, latency_ms=100.0):
    """A result whose route has these steps, each (stage, outcome), and costs a cent a call."""
    tier = 1
    route = []
    for stage, outcome in steps:
        tier = int(stage.removeprefix("infer:")) if stage.startswith("infer:") else tier
        route.append(
            Attempt(
                attempt_id=uuid4(),
                stage=stage,
                tier=tier,
                provider="p",
                model="m",
                why="",
                outcome=outcome,
                cost_usd=Decimal("0.01"),
                provider_ms=1.0,
            )
        )
    return Result(
        request_id="r",
        status=status,
        content=content,
        cost_usd=Decimal("0.01") * len(route),
        route=tuple(route),
        source=Source(topic="llm.requests", partition=0, offset=0, timestamp_ms=1),
        latency_ms=latency_ms,
        settled_at="2026-03-31T23:59:58Z",
    )
