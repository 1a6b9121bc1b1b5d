"""Files from the gateway: to standard output, or to a file that is there whole or not at all."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from rich.console import Console
from rich.progress import DownloadColumn, Progress, SpinnerColumn, TextColumn, TransferSpeedColumn

from tollway.session import SessionError


def save(chunks: Iterable[bytes], target: Path | None) -> int:
    """Write the chunks as they come and show the progress on standard error; the number of bytes.

    SessionError when the file cannot be written or the answer is cut: then no file of that name is left.
    """
    columns = (SpinnerColumn(), TextColumn("[progress.description]{task.description}"))
    console = Console(stderr=True)
    with Progress(
        *columns, DownloadColumn(), TransferSpeedColumn(), console=console, transient=True,
        disable=not console.is_terminal,
    ) as progress:  # fmt: skip
        task = progress.add_task(str(target or "standard output"), total=None)
        if target is None:
            return _write(chunks, sys.stdout.buffer.write, lambda size: progress.advance(task, size))
        part = target.with_name(f"{target.name}.part")
        try:
            with part.open("wb") as file:
                size = _write(chunks, file.write, lambda size: progress.advance(task, size))
            part.replace(target)
        except OSError as error:
            raise SessionError(f"{target}: {error.strerror}") from None
        finally:
            part.unlink(missing_ok=True)
    return size


def _write(
    chunks: Iterable[bytes], write: Callable[[bytes], object], advance: Callable[[int], object]
) -> int:
    total = 0
    for chunk in chunks:
        write(chunk)
        advance(len(chunk))
        total += len(chunk)
    return total
