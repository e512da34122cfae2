"""Two requests share one call only where they ask the same: no field of a request may be forgotten."""

from topics.requests import Dimensions, Request

IN_THE_KEY = {
    *("messages", "params", "response_schema", "response_format", "tools", "tool_choice", "parallel_tool_calls"),
    *("context", "user_id", "feature", "stream"),
}
"""What a provider is asked, who may share with whom, and who may see it: fields of `_Identity`, or no key at all."""
OF_NO_MATTER = {
    *("request_id", "conversation_id", "timeout_ms", "deadline", "min_tier", "max_tier", "max_cost_usd"),
    *("model", "progress", "final_once_shown"),
    *Dimensions.model_fields,
}
"""What decides where a request goes, when it ends or how it is counted or told, and not what the model is asked."""


def test_it_is_known_of_every_field_whether_requests_that_differ_in_it_may_share_a_call():
    undecided = Request.model_fields.keys() - IN_THE_KEY - OF_NO_MATTER
    assert not undecided, (
        f"may requests that differ in {undecided} share a call? If so it belongs in OF_NO_MATTER here; if not, in "
        "_Identity of streams/calls/coalescing.py and in IN_THE_KEY here"
    )
