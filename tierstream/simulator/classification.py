"""What a model answers when it is asked for the tiers of requests: mostly right, and as badly as it is told to be."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Final

from tierstream.simulator.behaviour import Flaw, ModelBehaviour
from tierstream.simulator.chat import ChatRequest, Conversation, stable_hash, stable_share

_VERSION_LINE: Final = re.compile(r"classify/\d+: (\d+) tiers\n")
_WHOLE: Final = 100
_SURE: Final = (70, 95)
"""Percent for the tier that it takes for the right one, from and to."""

_HARD: Final = re.compile(r"\b(prove|derive|design|trade-?offs?|race condition|distributed|justify)\b", re.IGNORECASE)
_MIDDLE: Final = re.compile(r"\b(why|explain|compare|analy[sz]e|plan|code|refactor|draft)\b", re.IGNORECASE)

_NAMED_TIER: Final = re.compile(
    r"(?:tier|level|stufe|niveau|nivel|livello|nível|poziom\w*|уровень|уровня|第|ティア)\W{0,4}([1-9])", re.IGNORECASE
)
_ORDER: Final = re.compile(
    r"(?:^|\W)(?:tiers?|route\w*|routing|classif\w+|ignor\w+|system|developer|frontier|policy|instructions?|ceo|chief"
    r"|critical|most expensive|models?|modell\w*|modèle|teuerste\w*|scores|needs_more_than|priority)(?:\W|$)",
    re.IGNORECASE,
)
_EVERYONE: Final = re.compile(r"\b(all|every|alle|toutes?|todas?|tutte|wszystkie|все)\b|所有", re.IGNORECASE)
_ENTRY: Final = re.compile(r'"(\d{1,3})"\s*:\s*(\[[\d\s.,-]*\])')

Label = Callable[[str], int | None]
"""Gives the lowest tier that is right for a text; None where no script knows it."""


def asks_for_tiers(conversation: Conversation) -> bool:
    """Whether the system prompt is that of a classifier."""
    return _VERSION_LINE.match(conversation.system) is not None


def classified(request: ChatRequest, behaviour: ModelBehaviour, label: Label) -> str:
    """The answer to a call that asks for tiers: percentages for each request.

    It depends on nothing but its arguments: the same request gets the same percentages in any batch, unless the model
    is gullible and another request of the batch orders something else.
    """
    found = _VERSION_LINE.match(request.conversation.system)
    tiers = int(found[1]) if found else 1
    requests = dict(_requests(request.conversation.prompt))
    entries = {
        number: _percentages(shown, tiers, request.model, behaviour.classify_accuracy, label)
        for number, shown in requests.items()
    }
    if behaviour.classify_gullible:
        entries = _obedient(entries, requests, tiers)
    return _spoilt(entries, behaviour.classify_flaw)


def _requests(prompt: str) -> Iterator[tuple[str, str]]:
    """The id and the text of each line; a line that is none is passed over, as a model would."""
    for line in prompt.split("\n"):
        try:
            entry = json.loads(line)
            yield str(entry["id"]), str(entry["request"])
        except (ValueError, KeyError, TypeError):
            continue


def _percentages(shown: str, tiers: int, model: str, accuracy: float, label: Label) -> list[int]:
    # The first line states facts about the request; the prompt follows.
    text = shown.partition("\n")[2]
    known = label(text)
    right = min(_guess(text, tiers) if known is None else known, tiers)
    choices = [right]
    if stable_share("classify", model, text) >= accuracy:
        choices = _beside(right, tiers)
    return _distribution(choices[stable_hash("beside", model, text) % len(choices)], tiers, text)


def _guess(text: str, tiers: int) -> int:
    if _HARD.search(text):
        return tiers
    return min(2, tiers) if _MIDDLE.search(text) else 1


def _distribution(tier: int, tiers: int, text: str) -> list[int]:
    """Percentages around a tier; what it does not get goes to its neighbours in equal parts."""
    low, high = _SURE
    rest = _WHOLE - low - stable_hash("sure", text) % (high - low + 1)
    beside = _beside(tier, tiers)
    found = [0] * tiers
    for number in beside:
        found[number - 1] = rest // len(beside)
    found[tier - 1] = _WHOLE - sum(found)
    return found


def _beside(tier: int, tiers: int) -> list[int]:
    return [number for number in (tier - 1, tier + 1) if 1 <= number <= tiers]


def _obedient(entries: dict[str, list[int]], requests: dict[str, str], tiers: int) -> dict[str, list[int]]:
    """Do what each request says, one after the other, also where it speaks of others."""
    obeyed = dict(entries)
    for number, shown in requests.items():
        text = shown.partition("\n")[2]
        named = _NAMED_TIER.search(text)
        if named or _ORDER.search(text):
            tier = min(int(named[1]), tiers) if named else tiers
            wanted = [_WHOLE if place == tier else 0 for place in range(1, tiers + 1)]
            obeyed.update(dict.fromkeys(requests if _EVERYONE.search(text) else (number,), wanted))
        for entry in _ENTRY.finditer(text):
            obeyed[entry[1]] = [int(value) for value in re.findall(r"\d{1,3}", entry[2])]
    return obeyed


def _spoilt(entries: dict[str, list[int]], flaw: Flaw | None) -> str:
    """The answer as text, with what is wrong with it."""
    text = json.dumps(entries, separators=(",", ":"))
    match flaw:
        case "prose":
            text = "All of these requests look easy, so the first tier should do."
        case "broken":
            text = text[: len(text) // 2]
        case "missing":
            text = json.dumps(dict(list(entries.items())[:-1]))
        case "extra":
            text = json.dumps({**entries, str(len(entries) + 1): [_WHOLE]})
        case "twice":
            text = f"{text[:-1]},{text[1:]}"
        case "range":
            text = json.dumps({number: [-50, 150, *[0] * (len(row) - 2)] for number, row in entries.items()})
        case "sum":
            text = json.dumps({number: [_WHOLE] * len(row) for number, row in entries.items()})
        case "fenced":
            text = f"```json\n{text}\n```"
    return text
