"""`tierstream send`: check requests and publish them."""

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from streams.config.settings import Settings
from streams.kafka.admin import require_topics
from streams.kafka.clock import utc_now
from tierstream.cli.connection import load_with_kafka
from tierstream.cli.errors import FAILED, show_error, show_warning
from tierstream.cli.follow import run_until_interrupted, send_and_follow
from tierstream.cli.help_text import examples
from tierstream.cli.options import AsJson
from tierstream.cli.piped_prompt import piped_prompt
from tierstream.cli.render.results import name_some, show_answer, show_json, show_result
from tierstream.client.request_file import InputError, UnknownFields, open_lines, parse_request, random_id, read_lines
from tierstream.client.request_producer import RequestProducer
from tierstream.client.request_run import Resume, run_requests
from topics.requests import DataClass, Impact, Request, ServiceClass, Tolerance
from topics.results import Result, ResultStatus

_STDIN = "-"
_REQUEST_OPTIONS = {
    "request_id": "id", "user_id": "user", "min_tier": "min-tier", "max_tier": "max-tier", "max_cost_usd": "max-cost",
    "timeout_ms": "timeout-ms", "response_schema": "schema", "params.max_tokens": "max-tokens", "tags": "tag",
}  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            'tierstream send --wait "What is 2 + 2?"',
            'tierstream send --wait --stream "Why is the sky blue?"',
            "echo Hello | tierstream send --user ann --feature chat",
            "tierstream send --input requests.jsonl",
        )
    )(send)


def send(
    ctx: typer.Context,
    text: Annotated[str | None, typer.Argument(metavar="[PROMPT]", help="The prompt; default: stdin.")] = None,
    prompt: Annotated[str | None, typer.Option(metavar="TEXT", help="The prompt.")] = None,
    system: Annotated[str | None, typer.Option(metavar="TEXT", help="A system message before it.")] = None,
    request_id: Annotated[str | None, typer.Option("--id", help="Idempotency key; default: a random UUID.")] = None,
    user: Annotated[str | None, typer.Option(help="Who asks.")] = None,
    feature: Annotated[str | None, typer.Option(help="For which feature of the product.")] = None,
    role: Annotated[str | None, typer.Option(help="Role of the user, such as ceo.")] = None,
    impact: Annotated[Impact | None, typer.Option(help="What a wrong answer costs.")] = None,
    tolerance: Annotated[Tolerance | None, typer.Option(help="How much error the work bears.")] = None,
    data_class: Annotated[DataClass | None, typer.Option(help="Which providers may see the text.")] = None,
    service_class: Annotated[ServiceClass | None, typer.Option(help="How long the requester waits.")] = None,
    timeout_ms: Annotated[int | None, typer.Option(min=1, help="Expires after that many milliseconds.")] = None,
    min_tier: Annotated[int | None, typer.Option(min=1, help="Lowest tier to use.")] = None,
    max_tier: Annotated[int | None, typer.Option(min=1, help="Highest tier to use.")] = None,
    model: Annotated[
        str | None, typer.Option(metavar="PROVIDER/MODEL", help="The one model that has to answer.")
    ] = None,
    max_cost: Annotated[str | None, typer.Option(metavar="USD", help="Most that it may cost.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag; may be given several times.")] = None,
    schema: Annotated[Path | None, typer.Option(metavar="FILE", help="JSON Schema of the answer.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Longest answer, in tokens.")] = None,
    input_file: Annotated[
        str | None, typer.Option("--input", metavar="FILE", help="Requests as JSON, one a line (- is stdin).")
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Ask for the text as it arrives; with --wait, show it.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the results and print them.")] = False,
    timeout: Annotated[float, typer.Option(min=0, metavar="S", help="How long to wait with --wait.")] = 150.0,
    as_json: AsJson = False,
) -> None:
    """Send a request, or a file of requests, and print the request ids.

    Everything is checked first: if one line of a file is wrong, nothing is sent. Sending the same id again is
    harmless. A line of a file is a request as in `tierstream topics docs`, where `"prompt": "…"` may stand for
    `"messages"` and `"request_id"` may be left out. With --wait, exit code 1 if there is no answer.
    """
    fields: dict[str, Any] = {
        "request_id": request_id,
        "user_id": user,
        "feature": feature,
        "service_class": service_class,
        "timeout_ms": timeout_ms,
        "min_tier": min_tier,
        "max_tier": max_tier,
        "model": model,
        "max_cost_usd": max_cost,
        "tags": tag,
        "stream": stream,
        "params": _given(max_tokens=max_tokens),
        "context": _given(user_role=role, business_impact=impact, error_tolerance=tolerance, data_class=data_class),
    }
    fields = {name: value for name, value in fields.items() if value}
    if input_file is not None and (fields or system or schema or text or prompt):
        raise typer.BadParameter("--input goes with --wait, --timeout and --json only: the lines say the rest")
    settings = load_with_kafka(ctx)
    limit = settings.kafka.request_max_bytes
    if input_file is not None:
        asked = _read_input(input_file, limit)
    else:
        if schema is not None:
            fields["response_schema"] = _read_schema(schema)
        fields["messages"] = _messages(text, prompt, system)
        asked = [_from_options(fields, limit)]
    if stream and wait:
        # An id of ours is new; one that was given may have been answered already.
        work = _send_and_stream(settings, asked[0], timeout, is_new=request_id is None, as_json=as_json)
    else:
        work = _send(settings, asked, wait_s=timeout if wait else None, as_json=as_json)
    run_until_interrupted(work)


def _given(**values: Any) -> dict[str, Any]:  # noqa: ANN401 - values of many types
    return {name: value for name, value in values.items() if value is not None}


def _messages(text: str | None, prompt: str | None, system: str | None) -> list[dict[str, str]]:
    if text is not None and prompt is not None:
        raise typer.BadParameter("give the prompt once: as an argument or with --prompt")
    content = text if text is not None else prompt
    if content is None:
        content = piped_prompt("as an argument, with --prompt, or on stdin")
    if not content.strip():
        raise typer.BadParameter("the prompt is empty")
    before = [{"role": "system", "content": system}] if system is not None else []
    return [*before, {"role": "user", "content": content}]


def _from_options(fields: dict[str, Any], limit: int) -> Request:
    try:
        return parse_request(fields, "request", random_id, limit)[0]
    except InputError as error:
        message = str(error).removeprefix("request: ")
        name, colon, problem = message.partition(": ")
        option = _REQUEST_OPTIONS.get(name)
        raise InputError(f"--{option}{colon}{problem}" if option else message) from None


def _read_schema(path: Path) -> Any:  # noqa: ANN401 - checked by the model
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}") from None


def _read_input(name: str, limit: int) -> list[Request]:
    unknown = UnknownFields()
    asked: dict[str, Request] = {}
    place = "stdin" if name == _STDIN else name

    def take(lines: Any) -> None:  # noqa: ANN401 - lines of bytes
        for line in read_lines(lines, place, random_id, limit):
            if line.request.request_id in asked:
                raise InputError(f"{place} line {line.number}: request_id: another line has the same")
            asked[line.request.request_id] = line.request
            unknown.add(line)

    if name == _STDIN:
        take(sys.stdin.buffer)
    else:
        with open_lines(Path(name)) as lines:
            take(lines)
    if not asked:
        raise InputError(f"{place}: there is no request in it")
    if ignored := unknown.describe():
        show_warning(f"{place}: fields that nobody reads: {ignored}")
    return list(asked.values())


async def _send(settings: Settings, asked: list[Request], *, wait_s: float | None, as_json: bool) -> None:
    if wait_s is not None:
        await _send_and_wait(settings, asked, wait_s, as_json=as_json)
        return
    await require_topics(settings.kafka)
    async with RequestProducer(settings.kafka) as producer:
        for request in asked:
            await producer.send(request)
    ids = [request.request_id for request in asked]
    if as_json:
        show_json({"request_ids": ids})
    else:
        typer.echo("\n".join(ids))


async def _send_and_wait(settings: Settings, asked: list[Request], wait_s: float, *, as_json: bool) -> None:
    def show(result: Result) -> None:
        if len(asked) == 1:
            show_answer(result, as_json=as_json)
        else:
            show_result(result, as_json=as_json)

    # A request that was answered within the window is not answered again; its result is on the topic.
    since = utc_now() - timedelta(seconds=settings.delivery.dedup_window_s)
    resume = Resume(ids=[request.request_id for request in asked], answered=(), since=since)
    report = await run_requests(settings, asked, on_result=show, timeout_s=wait_s, resume=resume)
    if report.missing:
        _show_missing(name_some(report.missing), wait_s)
    answered = report.statuses[ResultStatus.OK] + report.statuses[ResultStatus.DEGRADED]
    if answered < len(asked):
        raise typer.Exit(FAILED)


async def _send_and_stream(settings: Settings, request: Request, wait_s: float, *, is_new: bool, as_json: bool) -> None:
    result = await send_and_follow(settings, request, is_new=is_new, timeout_s=wait_s, as_json=as_json)
    if result is None:
        _show_missing(request.request_id, wait_s)
    if result is None or result.content is None:
        raise typer.Exit(FAILED)


def _show_missing(ids: str, wait_s: float) -> None:
    show_error(f"no result within {wait_s:g} s: {ids} (`tierstream results --request ID` looks again)")
