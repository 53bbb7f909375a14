"""A server with an OpenAI-compatible interface for chats that replies as a test tells it to."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = Callable[[dict[str, Any], int], tuple[int, str]]  # the body, how often it was asked -> status, content


class ReplyServer(ThreadingHTTPServer):
    """`asked` holds body, path and key of every request."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reply = reply
        self.asked: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1/"


class _Handler(BaseHTTPRequestHandler):
    server: ReplyServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        before = sum(one["body"] == body for one in self.server.asked)
        self.server.asked.append({"body": body, "path": self.path, "key": self.headers.get("Authorization")})
        status, content = self.server.reply(body, before)
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}
        payload = json.dumps({"choices": [choice]}).encode()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # who asked has been killed
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

    def log_message(self, *_: Any) -> None:
        pass
