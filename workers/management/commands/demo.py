"""`manage.py demo`: the whole loop on one machine, with simulated labelers, then it keeps serving until Ctrl-C."""

from __future__ import annotations

import signal
from argparse import ArgumentParser
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from workers.demo.conductor import Demo, DemoFailed


class Stopped(BaseException):
    """Ctrl-C or SIGTERM. No Exception, so that nothing on the way takes it for a fault."""


class Command(BaseCommand):
    help = "Run the demo: labelers, SFT, reward model, best-of-N, PPO, win rates, round after round."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--rounds", type=int, default=2, help="rounds after SFT (default 2)")
        parser.add_argument("--seed", type=int, default=0, help="of the world, its people and every run")
        parser.add_argument("--port", type=int, default=0, help="loopback port (default: a free one)")
        parser.add_argument("--exit", action="store_true", help="stop after the table")

    def handle(self, *args: Any, rounds: int, seed: int, port: int, exit: bool, **options: Any) -> None:
        if rounds < 1:
            raise CommandError(f"--rounds: expected at least 1, found {rounds}")
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _stop)
        demo = Demo(rounds=rounds, seed=seed, port=port)
        try:
            demo.run(serve=not exit)
        except DemoFailed as error:
            raise CommandError(str(error)) from error
        except Stopped:
            self.stdout.write("Stopped. The same command goes on from here; `make clean-demo` forgets the demo.")
        finally:
            demo.close()


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped
