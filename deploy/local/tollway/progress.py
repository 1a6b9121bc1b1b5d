"""What a person sees while the suite starts and stops: a live table on a terminal, plain lines elsewhere."""

import time
from collections.abc import Sequence
from contextlib import suppress

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

_STYLES = {"starting": "yellow", "ready": "green", "stopping": "yellow", "stopped": "dim"}


class Progress:
    """Shows the steps of each part. A terminal that went away is no reason to stop badly: it is ignored."""

    def __init__(self, console: Console, names: Sequence[str]) -> None:
        self._console = console
        self._steps: dict[str, tuple[str, float]] = dict.fromkeys(names, ("waiting", 0.0))
        self._began_s: dict[str, float] = {}
        self._spinner = Spinner("dots", style="yellow")
        self._live = Live(console=console, get_renderable=self._table, transient=True, refresh_per_second=12)

    def show(self) -> None:
        """Begin; on a terminal the table redraws itself."""
        if self._console.is_terminal:
            self._live.start()

    def hide(self) -> None:
        """Take the table away."""
        with suppress(OSError):
            self._live.stop()

    def report(self, name: str, step: str, seconds: float) -> None:
        """As `supervisor.Report`."""
        self._steps[name] = (step, seconds)
        self._began_s[name] = time.monotonic()
        if not self._live.is_started and step not in {"starting", "stopping"}:
            with suppress(OSError):
                self._console.print(
                    f"{name:<12} {step} {seconds:5.1f} s", style=_STYLES[step], highlight=False
                )

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for name, (step, seconds) in self._steps.items():
            under_way = step in {"starting", "stopping"}
            taken_s = time.monotonic() - self._began_s[name] if under_way else seconds
            mark = self._spinner if under_way else Text("✓" if step == "ready" else " ", style="green")
            clock = "" if step == "waiting" else f"{taken_s:.1f} s"
            table.add_row(mark, name, Text(step, style=_STYLES.get(step, "dim")), Text(clock, style="dim"))
        return table
