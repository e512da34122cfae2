"""Blocks of a text that pose as somebody else: chat templates, fake turns, tags, and the JSON of a classifier."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

from streams.routing.injected_sentences import BREAK, Orders, Span, apart, joined


def _words(words: str) -> frozenset[str]:
    return frozenset(words.split())


_TOKEN: Final = re.compile(
    r"<\|(?:im_start|start_header_id|start|system|developer|assistant|user|im_sep|message|channel)\|?>?[^\S\n]*(\w{0,12})"
    r"|\[inst\]|<<sys>>|<start_of_turn>(\w{0,12})|\[/?(?:system_prompt|available_tools|assistant)\]"
)
_CLOSING: Final = re.compile(
    r"<\|(?:im_end|end|eot_id|endoftext|end_of_text|end_header_id|return|/system|eom_id|end_of_turn)\|?>|\[/inst\]|<</sys>>|<end_of_turn>|</s>"
)
_OPENING: Final = re.compile(
    r"(?:<|\[)(system|developer|assistant|admin|routing|router|tier|rule|policy|classifier|classification|override|route"
    r"|min_tier|max_tier"
    r"|instructions?|priority|model|scores?|decision|context|metadata|prompt|important|note)"
    r"(?:[ _-][^<>\[\]\n]{0,120})?(?:>|\])"
)
_ALWAYS: Final = _words("system developer admin routing router tier classifier override route min_tier max_tier")
_KEY: Final = re.compile(r"[\"']([\w.-]{1,40})[\"']\s{0,20}:|(?<=[{,\s])(\w{1,40})\s{0,3}:")
_STRONG_KEYS: Final = _words(
    "min_tier max_tier needs_more_than classified_tier threshold_shift business_impact error_tolerance"
    " self_validating tier_probabilities routing_decision route_to routing target_tier"
)
_CORE_KEYS: Final = _words(
    "tier tiers scores score probabilities probability route classifier difficulty complexity role decision"
    " level tier1 tier2 tier3 tier_1 tier_2 tier_3 t1 t2 t3 classification user_role"
)
_OTHER_KEYS: Final = _words(
    "rule confidence model context reason reasons reasoning id request_id boundary version query_type floor"
    " ceiling content priority requests results answers answer index data_class service_class name type"
    " validate_answer signature p message messages 1 2 3 0 small medium large low mid high impact explanation"
    " label category escalate frontier output result response arguments function parameters"
)
_DECISION: Final = re.compile(
    r"tier|frontier|impact|route|routing|needs_more|scores|probabilit|classifier|complexity|difficulty|tolerance|user_role|self_valid"
    r"|role[\"']?\s{0,3}:\s{0,3}[\"'](?:system|developer)"
)
_TURN: Final = re.compile(
    r"[ \t>*#\[(_-]{0,6}(?:role\s?[:=]\s?[\"']?)?"
    r"(system|developer|assistant|human|user|ai|admin|administrator|router|classifier|instructions?"
    r"|moderator|operator|tool)"
    r"(?: (?:message|prompt|note|notice|instructions?|update|override|announcement"
    r"|says))?[\])*_]{0,3}\s?(?:[:：>\n](?!//)|(?<=\]))"
)
_SPOKEN: Final = re.compile(
    r"\W*(?:understood|ok(?:ay)?\b|sure|certainly|yes|i will|i'll|i shall"
    r"|of course|got it|done|confirmed|acknowledged|as you wish|very well)"
)
_PAIR: Final = re.compile(r"[ \t>*-]*[a-z0-9_.\"'\[\]-]{1,40}[\"']?[ \t]*[:=][ \t]*\S{1,40}[ \t]*,?(?:\n\s*|\Z)")
_HEADER: Final = re.compile(r"\[{1,2}[\w. ]{1,40}\]{1,2}\s")
_CONTENT: Final = re.compile(r"\s{0,8}[\"']?(?:content|text|message)[\"']?\s?:")
_OPENED: Final = re.compile(
    r"(?:```[\w.+-]{0,12}\s{0,3}|[\[(]\s{0,3}|[-=~*#]{3,8}\s{1,3}"
    r"|(?:(?:\A|(?<=\n)|(?<=[.?!。！？] ))[#*> ]{0,6}(?:[\w-]{1,16} ){0,3})?(?<!\w)"
    r"(?:output|result|response|json|decision|metadata|context|classification|headers?|config)\s?:\s{0,3}){1,2}\Z"
)
_CLOSED: Final = re.compile(r"\s{0,3}[\])]?\s{0,3}(?:```|[-=~*#]{3,8})?")
_STRAY: Final = re.compile(r"</?(?:user|human|system|developer|assistant)>")
_CLOSING_TAG: Final = re.compile(r"(?:</|\[/)(\w{3,20})\s?[>\]]")
_BRACE: Final = re.compile(r"[{}]")
_TEMPLATE_SIGNS: Final = ("<|", "[inst]", "[/inst]", "<<sys>>", "<start_of_turn>", "<end_of_turn>", "[system_", "</s>")
_ASSISTANT: Final = frozenset(("assistant", "ai"))
_OTHERS: Final = frozenset(("human", "user", "instruction", "instructions", "tool", "operator"))
_DEEPEST: Final = 4
"""Objects nested deeper are not looked at on their own."""
_AROUND: Final = 80


def blocks(text: str, plain: str, orders: Orders) -> list[Span]:
    """List the blocks of a text that go, in order and apart from each other."""
    found = [*_templates(plain), *_objects(plain), *_tags(plain, orders), *_comments(plain, orders)]
    found = apart([*found, *(stray.span() for stray in _STRAY.finditer(plain))])
    return apart([*found, *_turns(text, plain, orders, found)])


def widened(plain: str, span: Span) -> Span:
    """Take along the fence or the brackets that hold nothing else, and neighbouring lines of the same settings."""
    start, end = span
    last_line = plain.rfind("\n", start, max(end - 1, start)) + 1 or start
    if _PAIR.match(plain, last_line) or _HEADER.match(plain, last_line):
        while (line := _PAIR.match(plain, end)) and line.end() > end and plain[end - 1 : end] == "\n":
            end = line.end()
    opening = _OPENED.search(plain[max(start - _AROUND, 0) : start])
    closing = _CLOSED.match(plain, end)
    # What ends in a colon may be the end of the question, unless an object follows that is introduced by it.
    if opening and "```" in opening[0] and plain.count("```", 0, start) % 2 == 0:
        return start, end
    if opening and (":" not in opening[0] or plain[start] in "{[<") and (closing or not plain[end:].strip()):
        start -= len(opening[0])
        end = closing.end() if closing else end
    return start, end


def _templates(plain: str) -> Iterator[Span]:
    """Give tokens of chat templates: with what they enclose, unless it is the user who speaks there."""
    if not any(map(plain.__contains__, _TEMPLATE_SIGNS)):
        return
    opened: int | None = None
    for token in sorted([*_TOKEN.finditer(plain), *_CLOSING.finditer(plain)], key=lambda match: match.start()):
        start, end = token.span()
        if token.re is _CLOSING:
            yield (start if opened is None else opened), end
            opened = None
        elif opened is None and (token[0] == "[inst]" or (token[1] or token[2]) == "user"):
            yield start, end
        elif opened is None:
            opened = start
    if opened is not None:
        line = plain.find("\n", opened)
        yield opened, len(plain) if line < 0 else line


def _objects(plain: str) -> Iterator[Span]:
    """Give the JSON objects whose keys are those of a routing decision or of a request's own fields."""
    if "{" not in plain or not _DECISION.search(plain):
        return
    stack: list[int] = []
    pairs: list[Span] = []
    for brace in _BRACE.finditer(plain):
        if brace[0] == "{":
            stack.append(brace.start())
        elif stack:
            start = stack.pop()
            if len(stack) < _DEEPEST:
                pairs.append((start, brace.end()))
    keys = [(key.start(), key[1] or key[2]) for key in _KEY.finditer(plain)]
    starts = [place for place, _ in keys]
    done = -1
    for start, end in sorted(pairs):
        names = {name for _, name in keys[bisect_right(starts, start) : bisect_right(starts, end)]}
        if start >= done and _mimics(names) and _DECISION.search(plain, start, end):
            done = end
            yield start, end


def _mimics(names: set[str]) -> bool:
    known = names & (_STRONG_KEYS | _CORE_KEYS | _OTHER_KEYS)
    if names & _STRONG_KEYS:
        return 2 * len(known) >= len(names)
    return bool(names & _CORE_KEYS) and len(known) == len(names)


def _tags(plain: str, orders: Orders) -> Iterator[Span]:
    """Give what stands in tags of the router's or the system's, and in others if it holds an order."""
    closed: dict[str, list[int]] = {}
    for tag in _CLOSING_TAG.finditer(plain):
        closed.setdefault(tag[1], []).append(tag.end())
    done = -1
    for tag in _OPENING.finditer(plain) if closed or orders or "/>" in plain else ():
        if tag.start() < done:
            continue
        ends = closed.get(tag[1], [])
        place = bisect_right(ends, tag.end())
        is_closed = place < len(ends)
        end = ends[place] if is_closed else _sentence(plain, tag.end())[1]
        is_next = done > 0 and not plain[done : tag.start()].strip()
        if tag[1] in _ALWAYS and "/>" in tag[0]:
            end = tag.end()
        elif not (is_next or (is_closed and tag[1] in _ALWAYS) or orders.speak_in((tag.end(), end))):
            continue
        done = end
        yield tag.start(), end


def _comments(plain: str, orders: Orders) -> Iterator[Span]:
    """Give the HTML comments with an order."""
    place = plain.find("<!--") if orders else -1
    while place >= 0:
        closing = plain.find("-->", place)
        if closing < 0:
            return
        end = closing + len("-->")
        if orders.speak_in((place, end)):
            yield place, end
        place = plain.find("<!--", end)


def _turns(text: str, plain: str, orders: Orders, taken: list[Span]) -> Iterator[Span]:
    """Give what a system or an assistant is made to say: the label and a sentence, or the label of an order."""
    if not orders.has_speakers:
        return
    gone = -1
    starts, ends = [start for start, _ in taken], [end for _, end in taken]
    for place in (0, *(found.end() for found in BREAK.finditer(plain))):
        turn = _TURN.match(plain, place)
        if not turn or bisect_right(starts, place) > bisect_right(ends, place):
            continue
        said = _sentence(plain, turn.end())
        is_order, is_named = orders.speak_in(said), "role" in turn[0]
        if turn[1] in _ASSISTANT:
            goes = is_order or bool(_SPOKEN.match(plain, *said)) or gone == _before_blanks(plain, place)
        elif turn[1] in _OTHERS:
            goes = is_order
        else:
            goes = is_order or is_named or text[turn.start(1) : turn.end(1)].isupper() or plain[place] in "[#("
        if goes:
            content = _CONTENT.match(plain, said[0])
            if content:
                said = _sentence(plain, content.end())
            # The sentences of orders are found later, and what is joined to them stays.
            end = said[0] if orders.speak_in(said) else joined(text, said)
            yield place, end
            gone = _before_blanks(plain, said[1])


def _before_blanks(plain: str, place: int) -> int:
    while place and plain[place - 1].isspace():
        place -= 1
    return place


def _sentence(plain: str, start: int) -> Span:
    found = BREAK.search(plain, start)
    return start, found.end() if found else len(plain)


def _line_end(plain: str, place: int) -> int:
    end = plain.find("\n", place)
    return len(plain) if end < 0 else end
