"""Who is let in, and what an answer lets a browser do."""

import hashlib
from datetime import UTC, datetime
from importlib.resources import files

import pytest
from starlette.datastructures import Headers
from starlette.testclient import TestClient
from support.dashboard_server import dashboard_of

from streams.config.settings import SettingsError, load
from tierstream.dashboard.access import COOKIE, Access
from tierstream.dashboard.app import new_app
from tierstream.dashboard.server import access_of

TOKEN = "a token of more than sixteen characters"
NOW = datetime(2026, 3, 31, tzinfo=UTC).timestamp()
ECHARTS = "61f13280aba3161f77fc801bf5f9c786f55f10432153a0683fc5cc0700b013d5"
"""dist/echarts.common.min.js of echarts 6.1.0 on npm."""


def client(token=None, host="127.0.0.1:8090", **options):
    app = new_app(dashboard_of("http://127.0.0.1:1", token=token))
    return TestClient(app, base_url=f"http://{host}", follow_redirects=False, **options)


@pytest.mark.parametrize("host", ["127.0.0.1:8090", "localhost", "LOCALHOST:1", "[::1]:8090"])
def test_this_machine_is_served_by_any_of_its_names(host):
    answer = client().get("/reports", headers={"host": host})
    assert answer.status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8090", "127.0.0.1.evil.example", "10.0.0.5:8090", ""])
@pytest.mark.parametrize("path", ["/", "/health", "/static/style.css", "/api/report/summary"])
def test_a_name_that_another_site_has_lead_here_is_refused(host, path):
    answer = client().get(path, headers={"host": host})
    assert answer.status_code == 421
    assert "dashboard" in answer.text


def test_no_answer_lets_scripts_in_or_other_sites_read():
    with client(raise_server_exceptions=False) as browser:
        answers = [
            browser.get(path) for path in ("/reports", "/nothing", "/", "/?period=x", "/static/style.css", "/health")
        ]
        answers.append(browser.post("/"))
    assert [one.status_code for one in answers] == [200, 404, 503, 400, 200, 200, 405]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_where_there_is_a_token_nothing_is_seen_without_it():
    browser = client(TOKEN, "dashboard.example")
    for path in ("/", "/requests", "/trace/x", "/reports", "/report/summary", "/report/summary/tiers.csv", "/nothing"):
        assert browser.get(path).headers["location"] == "/login"
    assert browser.get("/api/report/summary").status_code == 401
    assert browser.get("/reports", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert browser.get("/reports", headers={"authorization": f"Bearer {TOKEN}x"}).status_code == 303
    assert browser.get("/health").status_code == 200


def test_the_token_gives_a_cookie_that_ends():
    browser = client(TOKEN, "dashboard.example")
    assert browser.post("/login", data={"token": "wrong"}).status_code == 403
    assert browser.post("/login", content=b"x" * 5000).status_code == 413
    answer = browser.post("/login", data={"token": TOKEN})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "HttpOnly; SameSite=Strict" in answer.headers["set-cookie"]
    assert browser.get("/reports").status_code == 200

    access = Access(TOKEN)
    session = access.new_session(NOW)
    week = 7 * 86_400

    def lets_in(cookie, at):
        return access.lets_in(Headers({"cookie": f"{COOKIE}={cookie}"}), at)

    assert lets_in(session, NOW + week - 1)
    assert not lets_in(session, NOW + week + 1)
    until, _, signature = session.partition(".")
    assert not lets_in(f"{int(until) + 1}.{signature}", NOW)
    assert not any(lets_in(cookie, NOW) for cookie in ("", ".", "x.y", f"{until}.", f"{until}.é", "9" * 5000))
    assert not Access("another token of that length").lets_in(Headers({"cookie": f"{COOKIE}={session}"}), NOW)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "dashboard.example"])
def test_others_are_let_in_with_a_token_alone(monkeypatch, host):
    monkeypatch.delenv("DASHBOARD_TOKEN", raising=False)
    settings = load(overrides={"dashboard": {"host": host}})
    with pytest.raises(SettingsError, match="set a token in DASHBOARD_TOKEN"):
        access_of(settings)
    monkeypatch.setenv("DASHBOARD_TOKEN", "short")
    with pytest.raises(SettingsError, match="too short"):
        access_of(settings)
    monkeypatch.setenv("DASHBOARD_TOKEN", TOKEN)
    assert access_of(settings).has_token
    monkeypatch.delenv("DASHBOARD_TOKEN")
    assert not access_of(load(overrides={"dashboard": {"host": "::1"}})).has_token


def test_the_library_of_the_charts_is_the_published_one():
    static = files("tierstream.dashboard") / "static"
    assert hashlib.sha256((static / "echarts.common.min.js").read_bytes()).hexdigest() == ECHARTS
    assert "Apache License" in (static / "echarts.LICENSE.txt").read_text()
    assert "Apache ECharts" in (static / "echarts.NOTICE.txt").read_text()


def test_files_are_compressed_and_kept():
    browser = client()
    answer = browser.get("/static/echarts.common.min.js")
    assert answer.headers["content-encoding"] == "gzip"
    assert "immutable" in answer.headers["cache-control"]
    assert int(answer.headers["content-length"]) < 260_000
    assert hashlib.sha256(answer.content).hexdigest() == ECHARTS
    again = {"if-none-match": answer.headers["etag"]}
    assert browser.get("/static/echarts.common.min.js", headers=again).status_code == 304
    plain = browser.get("/static/echarts.common.min.js", headers={"accept-encoding": "identity"})
    assert (plain.headers.get("content-encoding"), plain.content == answer.content) == (None, True)
    assert browser.get("/static/echarts.LICENSE.txt").status_code == 404
    assert browser.get("/static/..%2Fserver.py").status_code == 404


def test_while_clickhouse_is_away_pages_say_so_and_try_again():
    with client() as browser:
        page = browser.get("/")
        assert (page.status_code, page.headers["retry-after"]) == (503, "5")
        assert "ClickHouse at http://127.0.0.1:1 does not answer" in page.text
        assert 'data-retry="5"' in page.text
        assert browser.get("/api/report/summary").json()["error"].startswith("ClickHouse does not answer: ")
        assert browser.get("/health").text == "ok\n"


def test_what_is_asked_in_an_address_is_written_harmlessly():
    with client() as browser:
        answer = browser.get("/", params={"period": "<script>alert(1)</script>"})
    assert answer.status_code == 400
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;" in answer.text
