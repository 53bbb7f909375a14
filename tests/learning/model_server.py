"""A server with an OpenAI-compatible interface that answers from a tiny model, by transformers' `generate`.

In a thread for most tests; `python -m tests.learning.model_server --model PATH --port N` for those of a child process.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

Mischief = Callable[[dict[str, Any], int], tuple[int, Any] | None]  # body, times asked before -> status, reply


class ModelServer(ThreadingHTTPServer):
    """Answers /v1/completions and /v1/chat/completions; `mischief` may answer instead. `asked` holds every body."""

    daemon_threads = False  # closing waits for them: a thread that is inside torch when Python ends takes it down

    def __init__(self, path: str, port: int = 0, mischief: Mischief | None = None) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(path)
        self.mischief = mischief
        self.gives_logprobs = True
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.most_at_once = self.at_once = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def reply(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """One choice, drawn with the seed of the body."""
        is_chat = path.endswith("/chat/completions")
        if is_chat:
            text = self.tokenizer.apply_chat_template(body["messages"], tokenize=False, add_generation_prompt=True)
            prompt = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        else:
            prompt = body["prompt"]
        with self.lock:
            torch.manual_seed(body.get("seed", 0))
            how: dict[str, Any] = {"do_sample": False}
            if body["temperature"]:
                how = {"do_sample": True, "temperature": body["temperature"], "top_k": 0, "top_p": 1.0}
            ids = torch.tensor([prompt])
            found = self.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=body["max_tokens"],
                pad_token_id=self.tokenizer.eos_token_id,
                **how,
            )[0, len(prompt) :].tolist()
        ended = found[-1] == self.tokenizer.eos_token_id
        content = self.tokenizer.decode(found, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop" if ended else "length"}
        choice |= {"message": {"role": "assistant", "content": content}} if is_chat else {"text": content}
        if body.get("logprobs") and self.gives_logprobs:
            choice["logprobs"] = {"content": [self._first_token(prompt, body["top_logprobs"])]}
        return {"choices": [choice | ({"token_ids": found} if body.get("return_token_ids") else {})]}

    def _first_token(self, prompt: list[int], num_top: int) -> dict[str, Any]:
        """The likeliest tokens after a prompt, as OpenAI's interface gives them."""
        with self.lock, torch.no_grad():
            logits = self.model(torch.tensor([prompt])).logits[0, -1].double()
        values, ids = torch.log_softmax(logits, 0).topk(num_top)
        top = [
            {"token": self.tokenizer.decode([token]), "logprob": value}
            for token, value in zip(ids.tolist(), values.tolist(), strict=True)
        ]
        return {**top[0], "top_logprobs": top}


class _Handler(BaseHTTPRequestHandler):
    server: ModelServer

    def do_GET(self) -> None:
        self._send(200 if self.path == "/health" else 404, b"")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        with server.lock:
            before = server.asked.count(body)
            server.asked.append(body)
            server.keys.append(self.headers.get("Authorization"))
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
        try:
            mischief = server.mischief(body, before) if server.mischief else None
            status, reply = mischief or (200, server.reply(self.path, body))
        finally:
            with server.lock:
                server.at_once -= 1
        self._send(status, reply if isinstance(reply, bytes) else json.dumps(reply).encode())

    def _send(self, status: int, content: bytes) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except (BrokenPipeError, ConnectionResetError):
            pass  # who asked has gone

    def log_message(self, *_: Any) -> None:
        pass


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--port", type=int, required=True)
    known, others = parser.parse_known_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print("started with", *others, flush=True)
    server = ModelServer(known.model, known.port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while True:
        time.sleep(1)


if __name__ == "__main__":
    main(sys.argv[1:])
