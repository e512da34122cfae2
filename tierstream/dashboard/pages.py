"""The pages and the API: each reads its address, asks the ledger and fills its template."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response

from analytics.ledger_window import LedgerWindow, PriceList
from analytics.leverage.page import UnpaidProviderError, leverage_page
from analytics.leverage.report import LeverageReport
from analytics.reports import REPORTS
from analytics.reports.findings import FindingsReport, findings
from analytics.reports.trace import trace
from tierstream.dashboard import search, words
from tierstream.dashboard.access import LOGIN, Access
from tierstream.dashboard.findings import KINDS, LatestFindings
from tierstream.dashboard.flow import NARROW, WIDE, lay_out
from tierstream.dashboard.ledger import Ledger
from tierstream.dashboard.overview import FLOW_SPAN, overview
from tierstream.dashboard.period import CHOICES, Period, choose
from tierstream.dashboard.report_tables import as_csv, tables_of
from tierstream.dashboard.special_reports import BY, NOTES, change_chart, headline, options_of, tabular
from tierstream.dashboard.static_files import address
from tierstream.dashboard.waterfall import SCALE, draw

STATUSES: Final = ("ok", "degraded", "rejected", "failed", "expired")
TITLES: Final = {
    "change": "Why did the cost change?",
    "leverage": "Leverage",
    "findings": "Findings",
    "split": "Would a tier in between pay?",
}
"""Titles of the reports that have a place of their own in the navigation."""
_SHORT_TITLES: Final = {**TITLES, "change": "Cost change", "split": "Tier in between"}
_ORDERS: Final = ("Show ", "Say ", "Propose ")
"""How descriptions of commands begin; the page shows it already."""
_LONGEST_FORM: Final = 4096
_MOST_ROWS: Final = 200
"""Of a table on a page; browsers are slow with thousands."""

Report = Callable[..., Awaitable[BaseModel]]
"""Takes a LedgerWindow, and by keyword what `options_of` reads for it."""


@dataclass(frozen=True)
class Dashboard:
    """What the pages are made of.

    Attributes:
        tiers: How many there are.
        frontier: `provider/model` that costs are compared with.
        prices: What the configured models cost.
        clock: Tells the present moment.
        reports: By name, as in `REPORTS`.
    """

    ledger: Ledger
    access: Access
    tiers: int
    frontier: str
    prices: Callable[[], PriceList]
    clock: Callable[[], datetime]
    findings: LatestFindings
    reports: Mapping[str, Report]

    async def report(self, name: str, period: Period, options: Mapping[str, str] | None = None) -> BaseModel:
        """Make a report.

        Raises:
            ClickHouseUnavailable: The ledger can't be asked.
            WindowError: The report has nothing whole to tell of in the period.
            SplitError: There are no two tiers to have one in between.
        """
        async with self.ledger.client() as client:
            window = LedgerWindow(client, self.ledger.database, period.since, period.until, prices=self.prices)
            return await self.reports[name](window, **(options or {}))


def new_dashboard(
    ledger: Ledger,
    access: Access,
    *,
    tiers: int,
    frontier: str,
    prices: Callable[[], PriceList],
    clock: Callable[[], datetime],
    reports: Mapping[str, Report] = REPORTS,
) -> Dashboard:
    """Put together what the pages are made of; `Dashboard` says what each part is."""

    async def look() -> FindingsReport:
        period = choose({}, clock())
        async with ledger.client() as client:
            return await findings(LedgerWindow(client, ledger.database, period.since, period.until))

    return Dashboard(ledger, access, tiers, frontier, prices, clock, LatestFindings(look), reports)


async def first_page(request: Request) -> Response:
    """Spend, savings, tiers, quality and latency of a period; flow and state of now."""
    dashboard = _of(request)
    now = dashboard.clock()
    period = choose(request.query_params, now)
    shown = await overview(dashboard.ledger, period, now, dashboard.frontier, dashboard.prices)
    return page(
        request,
        "overview.html",
        here="overview",
        period=period,
        overview=shown,
        flows={"wide": lay_out(shown.paths, WIDE), "narrow": lay_out(shown.paths, NARROW)},
        flow_requests=sum(path.requests for path in shown.paths),
        flow_since=f"{now - FLOW_SPAN:%Y-%m-%dT%H:%M}",
        findings=dashboard.findings.latest(now),
    )


async def requests_page(request: Request) -> Response:
    """The search for requests."""
    dashboard = _of(request)
    period = choose(request.query_params, dashboard.clock(), default="24h")
    asked = search.read_search(request.query_params)
    found = await search.find(dashboard.ledger, asked, period)
    return page(
        request,
        "requests.html",
        here="requests",
        period=period,
        search=asked,
        found=found,
        statuses=STATUSES,
        tiers=dashboard.tiers,
    )


async def trace_page(request: Request) -> Response:
    """The steps and calls of one request on an axis of time."""
    dashboard, request_id = _of(request), request.path_params["request_id"]
    async with dashboard.ledger.client() as client:
        found = await trace(client, dashboard.ledger.database, request_id)
    if found is None:
        raise HTTPException(404, f"The ledger knows nothing of request {request_id}. The sink writes a moment behind.")
    return page(request, "trace.html", here="requests", trace=found, waterfall=draw(found), scale=SCALE)


async def reports_page(request: Request) -> Response:
    """The list of reports."""
    about = {name: _about(report) for name, report in _of(request).reports.items()}
    return page(request, "reports.html", here="reports", about=about)


async def report_page(request: Request) -> Response:
    """One report, whatever it has."""
    name = _report_name(request)
    period, options, report = await _asked_report(request, name)
    return page(
        request,
        "report.html",
        here=name if name in TITLES else "reports",
        name=name,
        about=_about(_of(request).reports[name]),
        period=period,
        options=options,
        by=BY if name == "change" else (),
        headline=headline(report),
        tables=tables_of(tabular(report)),
        notes=NOTES.get(name, {}),
        chart=change_chart(report),
        findings=report.findings if isinstance(report, FindingsReport) else None,
        providers=[one.provider for one in report.providers] if isinstance(report, LeverageReport) else (),
    )


async def leverage_print(request: Request) -> Response:
    """The page on leverage that can be handed over."""
    if "leverage" not in _of(request).reports:
        raise HTTPException(404)
    _, _, report = await _asked_report(request, "leverage")
    if not isinstance(report, LeverageReport):
        raise HTTPException(404)
    try:
        html = leverage_page(report, request.query_params.get("provider") or None)
    except UnpaidProviderError as problem:
        raise HTTPException(404, f"{problem}.") from None
    # Its styles are in it, for it is a file of its own elsewhere.
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
    return HTMLResponse(html, headers={"content-security-policy": policy})


async def report_csv(request: Request) -> Response:
    """One list of a report as CSV."""
    name, table = _report_name(request), request.path_params["table"]
    _, _, report = await _asked_report(request, name)
    text = as_csv(tabular(report), table) or as_csv(report.model_dump(mode="json"), table)
    if text is None:
        raise HTTPException(404, f"The report {name} has no list called {table} in this period.")
    headers = {"content-disposition": f'attachment; filename="{name}-{quote(table)}.csv"'}
    return Response(text, 200, headers, "text/csv; charset=utf-8")


async def report_json(request: Request) -> Response:
    """One report as JSON."""
    _, _, report = await _asked_report(request, _report_name(request))
    return JSONResponse(report.model_dump(mode="json"))


async def _asked_report(request: Request, name: str) -> tuple[Period, Mapping[str, str], BaseModel]:
    dashboard = _of(request)
    period, options = choose(request.query_params, dashboard.clock()), options_of(name, request.query_params)
    return period, options, await dashboard.report(name, period, options)


async def health(request: Request) -> Response:
    """Whether the server serves; ClickHouse may be away."""
    del request
    return PlainTextResponse("ok\n")


async def login(request: Request) -> Response:
    """Take the token and give a cookie for it."""
    access = _of(request).access
    if not access.has_token:
        return RedirectResponse("/", 303)
    if request.method != "POST":
        return page(request, "login.html", 200, wrong=False)
    if not access.knows(await _token(request)):
        return page(request, "login.html", 403, wrong=True)
    cookie = access.cookie(access.new_session(), secure=request.url.scheme == "https")
    return RedirectResponse("/", 303, {"set-cookie": cookie})


def page(request: Request, template: str, status: int = 200, **content: Any) -> Response:  # noqa: ANN401
    """Fill a template."""
    dashboard = _of(request)
    content.setdefault("here", "")
    html = _TEMPLATES.get_template(template).render(
        now=dashboard.clock(),
        path=request.url.path,
        reports=dashboard.reports,
        titles=TITLES,
        short=_SHORT_TITLES,
        **content,
    )
    return HTMLResponse(html, status)


def link(path: str, *queries: Mapping[str, str]) -> str:
    """Write an address with the parameters of all the queries."""
    parameters = {name: value for query in queries for name, value in query.items()}
    return f"{path}?{urlencode(parameters)}" if parameters else path


def _of(request: Request) -> Dashboard:
    found: Dashboard = request.app.state.dashboard
    return found


def _report_name(request: Request) -> str:
    name: str = request.path_params["name"]
    if name not in _of(request).reports:
        raise HTTPException(404, f"There is no report called {name}.")
    return name


def _about(report: Report) -> str:
    text = " ".join(inspect.cleandoc(report.__doc__ or "").split("\n\n")[0].split())
    for order in _ORDERS:
        text = text.removeprefix(order)
    return text[:1].upper() + text[1:]


async def _token(request: Request) -> str:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LONGEST_FORM:
            raise HTTPException(413, "That is no token.")
    return parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0].strip()


_TEMPLATES: Final = Environment(
    loader=PackageLoader("tierstream.dashboard"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters.update(
    money=words.money,
    share=words.share,
    confidence=words.confidence,
    span=words.span,
    count=words.count,
    moment=words.moment,
    ago=words.ago,
)
_TEMPLATES.filters["segment"] = lambda text: quote(str(text), safe="")
_TEMPLATES.globals.update(asset=address, link=link, choices=CHOICES, kinds=KINDS, LOGIN=LOGIN, MOST_ROWS=_MOST_ROWS)
