"""What users say of answers: by the truth, which they find out, but for a few who say the opposite."""

from typing import Final

from streams.learning.digest_share import share_of
from topics.feedback import Feedback, FeedbackKind
from topics.results import Result

_GIVERS: Final = 0.6
"""Share of the users that ever say something."""
_LIARS: Final = 0.05
"""Share of these that say the opposite of what is true."""
_BAD_NOTED: Final = 0.7
"""Share of the bad answers that they say so of."""
_GOOD_NOTED: Final = 0.25
_WRONG: Final = 0.5
"""Share of the complaints that call the answer wrong; the others are thumbs down."""
_RETRIED: Final = 0.5
"""Share of these that ask for another answer."""


def said_of(result: Result, *, is_right: bool, seed: int) -> Feedback | None:
    """Return what the user of a request says of its result; None: nothing.

    Args:
        result: What was answered.
        is_right: Whether the answer is.
        seed: Decides who says something, and of what.
    """
    user = f"{seed}/{result.user_id}"
    if share_of(user, "gives feedback") >= _GIVERS:
        return None
    seems_right = is_right is not (share_of(user, "lies") < _LIARS)
    digest = f"{seed}/{result.request_id}"
    if share_of(digest, "noted") >= (_GOOD_NOTED if seems_right else _BAD_NOTED):
        return None
    kind, retry = FeedbackKind.THUMBS_UP, None
    if not seems_right:
        is_called_wrong = share_of(digest, "wrong") < _WRONG
        kind = FeedbackKind.WRONG if is_called_wrong else FeedbackKind.THUMBS_DOWN
        retry = is_called_wrong and share_of(digest, "retried") < _RETRIED
    return Feedback(
        request_id=result.request_id, revision=result.revision, kind=kind, user_id=result.user_id, retry=retry
    )
