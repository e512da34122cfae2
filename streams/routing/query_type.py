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


_PATTERNS: tuple[tuple[QueryType, tuple[str, ...], re.Pattern[str]], ...] = (
    (
        QueryType.EXTRACTION,
        (
            "extra",
            "parse the",
            "parse this",
            "return json",
            "return the json",
            "return only",
            "field from",
            "fields from",
            "s json",
            "n json",
            "m json",
            "o json",
            "fill in the schema",
            "estrai",
            "estrarre",
            "wyodr",
            "wyci",
            "извлеки",
            "提取",
            "抽取",
            "抽出",
            "추출",
        ),
        re.compile(
            r"\b(extract|parse (the|this)|return (only )?(the )?json|fields? from|as json|fill in the schema"
            r"|extrahier\w*|als json|extrai[st]?\b|extraire|en json|extrae\b|extraer|estrai|estrarre|in json|extraia"
            r"|extrair|em json|wyodrębnij|wyciągnij|jako json|извлеки\w*)\b|提取|抽取|抽出|추출",
            re.IGNORECASE,
        ),
    ),
    (
        QueryType.CODE,
        (
            "```",
            "def ",
            "class ",
            "select ",
            "function",
            "stacktrace",
            "stack trace",
            "regex",
            "python",
            "javascript",
            "typescript",
            "sql",
            "bash",
            "dockerfile",
            "kubernetes",
            "unit test",
            "refactor",
            "compile",
            "code review",
            "正则",
            "正規表現",
        ),
        re.compile(
            r"```|\b(def |class |SELECT .+ FROM |function\s*\(|stack ?trace|regex|python|javascript|typescript"
            r"|sql query|bash|dockerfile|kubernetes|unit test|refactor|compile|code review|sql-abfrage|requête sql"
            r"|consulta sql|query sql|zapytanie sql)|SQL查询|正则|正規表現",
            re.IGNORECASE | re.DOTALL,
        ),
    ),
    (
        QueryType.ANALYSIS,
        (
            "naly",
            "forecast",
            "projection",
            "trend",
            "cohort",
            "correlat",
            "compare ",
            "quarter",
            "year",
            "conversion",
            "churn",
            "scenario",
            "sensitiv",
            "margin",
            "statistic",
            "auswert",
            "quartal",
            "prognos",
            "hochrechn",
            "prévision",
            "trimestr",
            "anali",
            "anális",
            "proyecci",
            "projeç",
            "previsi",
            "分析",
            "趋势",
            "季度",
            "予測",
            "四半期",
            "傾向",
            "분석",
        ),
        re.compile(
            r"\b(analy[sz]e|analysis|forecast|projection|trend|cohort|correlat|compare .+ (with|to|against)|quarter"
            r"|year.over.year|conversion rate|churn|scenario|sensitivity|margin|statistic|analysier|auswert|quartal"
            r"|prognos|hochrechn|prévision|trimestr|analiz|anális|proyecci|projeç|analizz|previsi)"
            r"|分析|趋势|季度|予測|四半期|傾向|분석",
            re.IGNORECASE | re.DOTALL,
        ),
    ),
    (
        QueryType.SUPPORT,
        (
            "draft",
            "reply to",
            "customer says",
            "customer writes",
            "customer wrote",
            "ticket",
            "complain",
            "refund",
            "apolog",
            "escalat",
            "kunde schreibt",
            "kundin schreibt",
            "beschwer",
            "entschuldig",
            "antwortentwurf",
            "le client dit",
            "le client écrit",
            "réclamation",
            "rembours",
            "excus",
            "el cliente",
            "la client",
            "reclam",
            "reembols",
            "disculp",
            "o cliente",
            "a cliente",
            "il cliente",
            "rimbors",
            "klient",
            "投诉",
            "退款",
            "客户说",
            "道歉",
            "返金",
            "お詫び",
            "苦情",
            "クレーム",
        ),
        re.compile(
            r"\b(draft|reply to|customer (says|writes|wrote)|ticket|complain|refund|apolog|escalat|kund(e|in) schreibt"
            r"|beschwer|entschuldig|antwortentwurf|le client (dit|écrit)|réclamation|rembours|excus|el cliente"
            r"|la clienta|reclamaci|reembols|disculp|o cliente|a cliente|reclamaç|il cliente|la cliente|reclam|rimbors"
            r"|klient\w* pisze|reklamac)|投诉|退款|客户说|道歉|返金|お詫び|苦情|クレーム",
            re.IGNORECASE,
        ),
    ),
    (QueryType.FAQ, ("?", "？", "؟"), re.compile(r"^.{0,160}[?？؟]\s*$", re.DOTALL)),
)
"""Each kind with what a text in lower case must have for its pattern to be tried, which takes longer."""


def query_type(request: Request) -> str:
    """Return the producer's label, else the kind that the schema suggests, or the question."""
    if request.query_type:
        return request.query_type
    if request.response_schema is not None:
        return QueryType.EXTRACTION
    question = request.question.strip()[:4000]
    present = question.lower().__contains__
    for kind, signs, pattern in _PATTERNS:
        if any(map(present, signs)) and pattern.search(question):
            return kind
    return QueryType.OTHER
