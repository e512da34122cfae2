"""Which policy under a budget decides: the one that was in force when the broker appended the request."""

import logging

from streams.control.control_state import Learned, Withdrawn
from streams.routing.online.policy import OnlinePolicy, PolicyError
from streams.routing.online.versions import OnlinePolicies
from topics.learned import ONLINE_POLICY_KEY, OnlinePolicyUpdate

log = logging.getLogger(__name__)


class OnlinePolicyFollower:
    """Keeps the policies of `llm.control` for the router.

    A policy that can't be read decides nothing: the one before it goes on.
    """

    def __init__(self, policies: OnlinePolicies) -> None:
        self._policies = policies

    def note(self, entry: Learned | Withdrawn) -> None:
        """Take in an entry of the topic; those about other things are passed over."""
        match entry:
            case Learned(OnlinePolicyUpdate() as update, appended_ms):
                try:
                    policy = OnlinePolicy.loads(update.policy)
                except PolicyError as error:
                    log.error("policy %d of llm.control is passed over: %s", update.version, error)  # noqa: TRY400
                    return
                self._policies.add(update.version, policy, appended_ms + update.delay_ms)
            case Withdrawn(key) if key.startswith(ONLINE_POLICY_KEY):
                number = key.removeprefix(ONLINE_POLICY_KEY)
                if number.isdecimal():
                    self._policies.drop(int(number))
            case _:
                pass
