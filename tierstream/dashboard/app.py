"""The application: its addresses, and what somebody sees when something is wrong."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from analytics.clickhouse import UNREACHABLE, ClickHouseRefused, ClickHouseUnavailable, is_away
from tierstream.dashboard import pages
from tierstream.dashboard.access import HEALTH, LOGIN, Guard
from tierstream.dashboard.pages import Dashboard
from tierstream.dashboard.period import PeriodError
from tierstream.dashboard.search import SearchError
from tierstream.dashboard.static_files import static_file
from tierstream.operations.cost_reports import SplitError, WindowError

log = logging.getLogger(__name__)

_RETRY_S: Final = 5
_TITLES: Final = {404: "There is nothing here", 405: "That can't be done here", 413: "Too much"}
_LEAST_COMPRESSED: Final = 1000


def new_app(dashboard: Dashboard) -> ASGIApp:
    """Make the application of a dashboard."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await dashboard.findings.close()
        await dashboard.ledger.close()

    app = Starlette(
        routes=[
            Route("/", pages.first_page),
            Route("/requests", pages.requests_page),
            Route("/trace/{request_id:path}", pages.trace_page),
            Route("/reports", pages.reports_page),
            Route("/report/leverage/page", pages.leverage_print),
            Route("/report/{name}", pages.report_page),
            Route("/report/{name}/{table}.csv", pages.report_csv),
            Route("/api/report/{name}", pages.report_json),
            Route("/static/{name}", static_file),
            Route(LOGIN, pages.login, methods=["GET", "POST"]),
            Route(HEALTH, pages.health),
        ],
        middleware=[Middleware(GZipMiddleware, minimum_size=_LEAST_COMPRESSED, compresslevel=6)],
        exception_handlers={
            HTTPException: _not_served,
            PeriodError: _misunderstood,
            SearchError: _misunderstood,
            WindowError: _misunderstood,
            SplitError: _has_none,
            **dict.fromkeys((ClickHouseUnavailable, *UNREACHABLE), _without_ledger),
            Exception: _failed,
        },
        lifespan=lifespan,
    )
    app.state.dashboard = dashboard
    # Around everything, so that no answer is without its headers.
    return Guard(app, dashboard.access)


async def _not_served(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = error.detail if isinstance(error, HTTPException) else ""
    title = _TITLES.get(status, "This was not possible")
    return _problem(request, status, title, "" if detail in {"Not Found", "Method Not Allowed"} else detail)


async def _misunderstood(request: Request, error: Exception) -> Response:
    return _problem(request, 400, "The address can't be read", f"{error}.")


async def _has_none(request: Request, error: Exception) -> Response:
    return _problem(request, 404, _TITLES[404], f"{error}.")


async def _without_ledger(request: Request, error: Exception) -> Response:
    """Say what is wrong with ClickHouse; where it may pass by itself, the page tries again."""
    if not isinstance(error, ClickHouseUnavailable) and not is_away(error):
        return await _failed(request, error)
    refused = isinstance(error, ClickHouseRefused)
    title = "ClickHouse does not let us read the ledger" if refused else "ClickHouse does not answer"
    return _problem(request, 503, title, str(error), retry=True)


async def _failed(request: Request, error: Exception) -> Response:
    log.error("%s could not be shown", request.url.path, exc_info=error)
    return _problem(request, 500, "This page could not be made", "The log of the dashboard says why.")


def _problem(request: Request, status: int, title: str, text: str, *, retry: bool = False) -> Response:
    headers = {"retry-after": str(_RETRY_S)} if retry else {}
    answer: Response
    if request.url.path.startswith("/api/"):
        answer = JSONResponse({"error": f"{title}: {text}" if text else title}, status)
    else:
        answer = pages.page(
            request, "problem.html", status, title=title, text=text, retry_s=_RETRY_S if retry else None
        )
    answer.headers.update(headers)
    return answer
