"""The demo in the terminal: every stage with its bar, speed and time left, redrawn while the loop turns."""

from __future__ import annotations

from rich.console import Group, JustifyMethod, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from workers.demo.stages import Stage

ROWS = 16  # of stages on screen: the newest ones
COLUMNS: tuple[tuple[str, JustifyMethod], ...] = (
    ("", "left"), ("stage", "left"), ("", "left"), ("done", "right"), ("speed", "right"), ("time", "right"),
    ("left", "right"),
)  # fmt: skip


def screen(*, stages: list[Stage], note: str) -> RenderableType:
    """One frame: the newest stages, and a line that says what is being waited for."""
    table = Table(box=None, padding=(0, 1), expand=False)
    for name, justify in COLUMNS:
        table.add_column(name, justify=justify, no_wrap=True)
    for stage in stages[-ROWS:]:
        table.add_row(
            _mark(stage),
            stage.title,
            ProgressBar(total=max(stage.total, 1), completed=stage.done, width=16),
            f"{stage.done:,.0f}/{stage.total:,.0f}",
            f"{stage.speed:,.1f}/s" if stage.speed and stage.unit else "",
            duration(stage.busy_s),
            duration(stage.left_s) if stage.left_s is not None else "",
        )
    return Group(table, Text(note, style="dim"))


def addresses(*, url: str, password: str, var: str) -> Panel:
    """Where to look and whom to sign in as."""
    lines = (
        f"[bold]{url}/p/demo/[/bold]        dashboard: sign in as [bold]researcher[/bold]",
        f"[bold]{url}/p/demo/label/[/bold]  labeling:  sign in as [bold]labeler[/bold]",
        f"[bold]{url}/admin/[/bold]         admin:     sign in as [bold]admin[/bold]",
        f"password of all three: [bold]{password}[/bold]    files: {var}",
    )
    return Panel("\n".join(lines), title="Hone demo", expand=False)


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}" if seconds >= 10 else f"{seconds:.1f} s"


def _mark(stage: Stage) -> Text:
    if stage.failed:
        return Text("✗ failed", style="bold red")
    if stage.finished:
        return Text("✓", style="green")
    return Text("…" if stage.attempts < 2 else f"attempt {stage.attempts}", style="yellow")
