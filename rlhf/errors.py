"""Expected errors are answers: every one names the HTTP status that it becomes, in the one handler below.

Each error is defined in the module that raises it, as a subclass of `Refusal`; unexpected errors propagate.
"""

from __future__ import annotations

from typing import Any

from rest_framework.response import Response
from rest_framework.views import exception_handler as rest_exception_handler


class Refusal(Exception):
    """What was asked can't be done; the message says what was found and what was expected."""

    status = 400

    def __init__(self, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.message = message
        self.extra = extra


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    if isinstance(error, Refusal):
        return Response({"detail": error.message, **error.extra}, status=error.status)
    return rest_exception_handler(error, context)
