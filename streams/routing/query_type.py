"""Naming what kind of request it is, for rules and reports."""

import re
from enum import StrEnum

from topics.requests import Request


class QueryType(StrEnum):
    """The kinds that reports tell apart."""

    FAQ = "faq"
    EXTRACTION = "extraction"
    CODE = "code"
    SUPPORT = "support"
    ANALYSIS = "analysis"
    OTHER = "other"


_PATTERNS: tuple[tuple[QueryType, re.Pattern[str]], ...] = (
    (
        QueryType.EXTRACTION,
        re.compile(
            r"\b(extract|parse (the|this)|return (only )?(the )?json|fields? from|as json|fill in the schema)\b",
            re.IGNORECASE,
        ),
    ),
    (
        QueryType.CODE,
        re.compile(
            r"```|\b(def |class |SELECT .+ FROM |function\s*\(|stack ?trace|regex|python|javascript|typescript"
            r"|sql query|bash|dockerfile|kubernetes|unit test|refactor|compile|code review)",
            re.IGNORECASE | re.DOTALL,
        ),
    ),
    (
        QueryType.ANALYSIS,
        re.compile(
            r"\b(analy[sz]e|analysis|forecast|projection|trend|cohort|correlat|compare .+ (with|to|against)|quarter"
            r"|year.over.year|conversion rate|churn|scenario|sensitivity|margin|statistic)",
            re.IGNORECASE | re.DOTALL,
        ),
    ),
    (
        QueryType.SUPPORT,
        re.compile(
            r"\b(draft|reply to|customer (says|writes|wrote)|ticket|complain|refund|apolog|escalat)",
            re.IGNORECASE,
        ),
    ),
    (QueryType.FAQ, re.compile(r"^.{0,160}\?\s*$", re.DOTALL)),
)


def query_type(request: Request) -> str:
    """Return the producer's label, else the kind that the schema, the system prompt and the question suggest."""
    if request.query_type:
        return request.query_type
    if request.response_schema is not None:
        return QueryType.EXTRACTION
    question = request.question[:4000]
    for kind, pattern in _PATTERNS:
        if pattern.search(question):
            return kind
    return QueryType.OTHER
