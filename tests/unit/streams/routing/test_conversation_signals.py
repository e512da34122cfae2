"""Signals of conversations: what strikes, what only looks like it, and that every text is read in bounded time."""

import math
import tomllib
from importlib import resources

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.record_strategies import requests

from streams.config.setting_types import Signal
from streams.routing import conversation_features
from streams.routing.conversation_cues import KINDS, count_cues, spaced
from streams.routing.conversation_features import FORM, see
from streams.routing.conversation_signals import OUTPUTS, columns_of, shipped, signals
from topics.messages import Message
from topics.requests import Request

REPHRASED, FRUSTRATED = Signal.REPHRASED, Signal.FRUSTRATED


def conversation(*texts: str, first: str = "user") -> Request:
    roles = ("user", "assistant") if first == "user" else ("assistant", "user")
    messages = tuple(Message(role=roles[i % 2], content=text) for i, text in enumerate(texts))
    return Request(request_id="r", messages=messages)


CAPITAL = ("Which city is the capital of Australia?", "Australia is a country in Oceania.")

STRIKING = [
    (*CAPITAL, "I asked which city is the capital of Australia, not where Australia is.", {REPHRASED}),
    (*CAPITAL, "This is useless. Are you kidding me?!", {FRUSTRATED}),
    (*CAPITAL, "NO!! For the third time: WHICH CITY is the capital of Australia?!", {REPHRASED, FRUSTRATED}),
    (
        "Wie lade ich die Batterie auf?", "Die Batterie hat 12 Volt.",
        "Ich wollte wissen, wie ich die Batterie auflade.", {REPHRASED},
    ),
    ("¿Dónde está mi pedido?", "En camino.", "Esto es una vergüenza, siempre lo mismo. ¡Estoy harto!", {FRUSTRATED}),
    ("Какая столица Австралии?", "Австралия — страна.", "Мой вопрос был: какая столица Австралии?", {REPHRASED}),
    ("澳大利亚的首都是哪里？", "澳大利亚是一个国家。", "我问的是：澳大利亚的首都是哪里？", {REPHRASED}),
    ("मेरा ऑर्डर कहाँ है?", "रास्ते में।", "कितनी बार पूछूँ? बिल्कुल बेकार सेवा है!", {FRUSTRATED}),
]  # fmt: skip

ONLY_LOOKING_LIKE_IT = [
    (*CAPITAL, "And of New Zealand?"),
    (*CAPITAL, "Thanks! How many people live in Australia?"),
    ("Summarise this report: sales rose by 4 %.", "Sales rose.", "Now shorter, please."),
    ("Translate to French: Good morning.", "Bonjour.", "Translate to French: See you tomorrow."),
    ("I answer complaints.", "Paste one.", '"This is USELESS!!! My money back, you idiots!" Reply politely.'),
    ("Give me ten names for a cat.", "Tom, Kitty, ...", "Great!!! I LOVE number two!!! Ten more please!"),
    ("Was kostet der Versand nach Wien?", "4,90 €.", "Und nach Zürich?"),
    ("Book a table for two.", "Would you like to sit outside?", "no"),
    ("Book a table for two.", "Done.", "👍"),
    ("明日の天気は？", "晴れです。", "ありがとう。明後日は？"),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "answered", "last", "expected"), STRIKING, ids=[row[2] for row in STRIKING])
def test_who_asks_again_or_loses_patience_strikes(asked, answered, last, expected):
    # "I asked for ..., not for ..." may count as weary too.
    assert signals(conversation(asked, answered, last)) >= expected


@pytest.mark.parametrize("turns", ONLY_LOOKING_LIKE_IT, ids=[turns[-1] for turns in ONLY_LOOKING_LIKE_IT])
def test_who_goes_on_does_not_strike(turns):
    assert signals(conversation(*turns)) == frozenset()


def test_an_earlier_turn_counts_as_well_as_the_one_before():
    last = "I asked which city is the capital of Australia, not where Australia is."
    assert REPHRASED in signals(conversation(*CAPITAL, "Hm.", "Can I help you with anything else?", last))


def test_without_an_earlier_message_of_the_user_nothing_is_read(monkeypatch):
    monkeypatch.setattr(conversation_features, "_see", lambda *_: pytest.fail("was read"))
    furious = "USELESS!!! For the third time!"
    assert signals(conversation(furious)) == frozenset()
    assert signals(conversation("Hello, how can I help?", furious, first="assistant")) == frozenset()


def test_an_answer_that_has_begun_is_not_the_last_message_of_the_user():
    assert signals(conversation(*CAPITAL, "This is useless. Are you kidding me?!", "I am")) == {FRUSTRATED}


@given(requests)
def test_any_request_has_signals(request):
    assert signals(request) <= set(Signal)


@given(st.lists(st.text(max_size=60), min_size=3, max_size=7))
def test_features_are_finite_and_small(texts):
    found = see(conversation(*texts).messages)
    assert found is None or len(found.form) == len(FORM)
    assert all(math.isfinite(value) and abs(value) <= 20 for value in (found.form if found else ()))


def test_of_a_long_text_both_ends_are_read():
    filler = "lorem ipsum " * 500

    def given_for(middle):
        return see(conversation(*CAPITAL, f"Which city? {filler}{middle}{filler} Thanks.").messages)

    assert given_for("useless idiots ") == given_for("nothing of that ")


@pytest.mark.parametrize("opening", ['"', "“", "„", "«", "「", "```", "'"])
def test_quotations_that_never_end_are_left_alone(opening):
    assert signals(conversation(*CAPITAL, opening * 100_000)) == frozenset()


def test_every_cue_is_found_where_it_stands():
    shipped_cues = resources.files("streams.routing").joinpath("conversation_cues.toml").read_text(encoding="utf-8")
    languages = tomllib.loads(shipped_cues)
    assert tuple(languages) == KINDS
    for number, kind in enumerate(KINDS):
        for cue in (cue for cues in languages[kind].values() for cue in cues):
            assert count_cues(spaced(cue.removeprefix("^")))[number], f"{kind}: {cue!r} is never found"


def test_what_is_read_is_what_was_fitted():
    """The reader adds words up as it meets them, the fit has all their buckets in one row."""
    messages = conversation(*CAPITAL, "No, which CITY? You never read what I write...").messages
    seen, model = see(messages), shipped().model
    assert seen is not None
    odds = model.intercept + np.array(seen.form) @ model.form
    odds += sum(value * model.buckets[column] * model.scale for column, value in columns_of(seen))
    assert shipped().probabilities(messages) == pytest.approx((1 / (1 + np.exp(-odds))).tolist())


def test_the_model_is_that_of_the_features():
    model = shipped().model
    assert model.form.shape == (len(FORM), len(OUTPUTS))
    assert 0.5 <= model.threshold < 1
