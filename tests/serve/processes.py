"""The command itself in a process of its own, and a browser if there is one."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest


@contextmanager
def served(
    bundle: Path, *options: str, log: IO[str] | None = None
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`pneumoscope serve` on a free port: its address and its process, which SIGTERM ends.

    Its log goes to a file or nowhere: a pipe that nobody reads would fill and stop the server.
    """
    command = [sys.executable, "-m", "pneumoscope", "serve", "--port", "0", "--threads", "1"]
    process = subprocess.Popen(
        [*command, "--bundle", str(bundle), *options],
        stdout=subprocess.PIPE,
        stderr=log or subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("http://127.0.0.1:"), line
        yield line.split()[0].rstrip("/"), process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=60)
        finally:
            process.kill()


def chromium() -> str:
    """Path of Chromium; skips without it."""
    pytest.importorskip("playwright", reason="playwright is not installed")
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("no Chromium here (Debian: apt-get install chromium)")
