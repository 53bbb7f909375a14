"""`manage.py demo`: the whole loop on one machine, with simulated labelers, then it keeps serving until Ctrl-C."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotate.management.demo.recipe import SIZES
from workers.demo.conductor import Demo, DemoFailed
from workers.stopping import Stopped, raise_on_signals
from workers.supervise import CannotStart


class Command(BaseCommand):
    help = "Run the demo: labelers, SFT, reward model, best-of-N, PPO, win rates, round after round."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--rounds", type=int, default=2, help="rounds after SFT (default 2)")
        parser.add_argument("--seed", type=int, default=0, help="of the world, its people and every run")
        parser.add_argument("--size", choices=SIZES, default="standard", help="small: every part, little learning")
        parser.add_argument("--port", type=int, default=0, help="loopback port (default: a free one)")
        parser.add_argument("--exit", action="store_true", help="stop after the table")

    def handle(self, *args: Any, rounds: int, seed: int, size: str, port: int, exit: bool, **options: Any) -> None:
        if rounds < 1:
            raise CommandError(f"--rounds: expected at least 1, found {rounds}")
        raise_on_signals()
        demo = Demo(rounds=rounds, seed=seed, port=port, sizes=SIZES[size])
        try:
            demo.run(serve=not exit)
        except (DemoFailed, CannotStart) as error:
            raise CommandError(str(error)) from error
        except Stopped:
            self.stdout.write("Stopped. The same command goes on from here; `make clean-demo` forgets the demo.")
        finally:
            demo.close()
