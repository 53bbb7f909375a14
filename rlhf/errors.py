"""Expected errors are answers: every one names the HTTP status that it becomes, in the two handlers below.

Each error is defined in the module that raises it, as a subclass of `Refusal`; unexpected errors propagate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
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


class RefusalPages:
    """Middleware: a refusal that a page has not turned into a message of its own becomes a page with its status."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if isinstance(error, Refusal):
            return render(request, "rlhf/refusal.html", {"message": error.message}, status=error.status)
        return None
