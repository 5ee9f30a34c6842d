"""What can go wrong between a client and the agent, told with what to do next."""

from __future__ import annotations


class ApiError(Exception):
    """The agent refused a request. `hint` says what to do next and may be empty."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.text, self.hint = text, hint


class Unreachable(ApiError):
    """No agent's answer came back: nothing was learnt, and a command may or may not have been carried out."""
