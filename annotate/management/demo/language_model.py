"""A simulated language model that judges pairs: `python -m annotate.management.demo.language_model PORT`.

No model at all: behind an OpenAI-compatible interface on loopback it compares answers by the demo's hidden score, with
mistakes of a known size. What it says is a function of what it is shown: nothing depends on time, order or process.

Of 10 % of the pairs it prefers what stands first, in either order. Of the others it gives the right verdict, the same
in both orders, on five in six. So a verdict on two answers of different gold scores is right in 0.9 * 5/6 + 0.1 * 1/2 =
80 % on average over both orders. Equal scores are a tie.
"""

from __future__ import annotations

import json
import re
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from annotate.management.demo import chance, gold
from rlhf.learning import verdicts

NAME = "simulated language model"
MODEL = "simulated-language-model"
LEANING = 0.1  # share of pairs of which whatever stands first is said to be better
RIGHT = 5 / 6  # share of right verdicts on the other pairs
MAX_BYTES = 1_000_000  # of a question
IDLE_S = 60.0  # after which a silent connection is closed
REASON = "No language model has read this: it is simulated, from the demo's hidden score and chance."
LAST_MESSAGE = "User:\n"
_SHOWN = re.compile(
    r"\n\n".join(
        re.escape(verdicts.BLOCK.replace("{name}", name))
        .replace(r"\{mark\}", "(?P<mark>[0-9a-f]{16})" if place == 0 else "(?P=mark)", 1)
        .replace(r"\{mark\}", "(?P=mark)")
        .replace(r"\{text\}", f"(?P<text{place}>.*)")
        for place, name in enumerate(verdicts.NAMES)
    ),
    re.DOTALL,
)


class BadQuestion(ValueError):
    """Not a comparison of two answers in the words of rlhf/learning/verdicts.py."""


def judge(*, prompt: str, first: str, second: str) -> str:
    """A: the answer shown first is better; B: the one shown second; C: neither."""
    prompt, first, second = (gold.normalised(text) for text in (prompt, first, second))
    pair = (prompt, *sorted((first, second)))
    if chance.uniform(MODEL, "leans", *pair) < LEANING:
        return "A"
    difference = gold.score(prompt, first) - gold.score(prompt, second)
    if difference == 0:
        return "C"
    is_right = chance.uniform(MODEL, "is right", *pair) < RIGHT
    return "A" if (difference > 0) == is_right else "B"


def reply(*, body: bytes) -> str:
    """What it says to the body of a chat completion. Raises BadQuestion."""
    try:
        shown = _SHOWN.search(json.loads(body)["messages"][-1]["content"])
    except (ValueError, LookupError, TypeError) as error:
        raise BadQuestion("expected an object with messages, each of them with a content") from error
    if shown is None:
        raise BadQuestion(f"messages: expected a comparison of two answers; {NAME} can do nothing else")
    prompt = shown["text0"].rpartition(LAST_MESSAGE)[2]
    return f"{REASON}\n[[{judge(prompt=prompt, first=shown['text1'], second=shown['text2'])}]]"


class Server(ThreadingHTTPServer):
    """POST /v1/chat/completions on loopback."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def url(self) -> str:
        return address(port=self.server_port)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_S
    wbufsize = -1  # head and body in one packet: two wait for each other's acknowledgement

    def do_POST(self) -> None:
        num_bytes = int(self.headers.get("Content-Length") or 0)
        if num_bytes > MAX_BYTES:
            self.close_connection = True
            return self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"expected at most {MAX_BYTES} bytes")
        content = self.rfile.read(num_bytes)
        if self.path != "/v1/chat/completions":
            return self._refuse(HTTPStatus.NOT_FOUND, f"expected /v1/chat/completions, found {self.path}")
        try:
            text = reply(body=content)
        except BadQuestion as error:
            return self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        self._send(HTTPStatus.OK, {"object": "chat.completion", "model": MODEL, "choices": [choice]})

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        self._send(status, {"error": {"message": message, "type": "invalid_request_error"}})

    def _send(self, status: HTTPStatus, body: dict[str, Any]) -> None:
        payload = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: Any) -> None:
        """Thousands of questions: the run's journal has them."""


def address(*, port: int) -> str:
    return f"http://127.0.0.1:{port}/v1"


if __name__ == "__main__":
    Server(int(sys.argv[1])).serve_forever()
