"""The command: its end, its errors, and its description of itself against what it does."""

from __future__ import annotations

import signal
import socket
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from pneumoscope.cli import app
from pneumoscope.errors import SettingsError
from pneumoscope.serve.settings import EngineSettings
from tests.serve.processes import served

pytestmark = pytest.mark.slow


def test_sigterm_ends_it_after_what_it_accepted(
    engine: EngineSettings, films: list[Path], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with (
        log.open("w") as stream,
        served(engine.bundle, "--workers", "2", log=stream) as (
            address,
            process,
        ),
    ):
        answers: list[httpx.Response] = []
        contents = [("files", film.read_bytes()) for film in films[:20]]

        def ask() -> None:
            answers.append(httpx.post(f"{address}/v1/findings", files=contents, timeout=60))

        thread = threading.Thread(target=ask)
        thread.start()
        while "queue_films 20.0" not in httpx.get(f"{address}/metrics").text and not answers:
            pass
        process.send_signal(signal.SIGTERM)
        thread.join()
        assert answers[0].status_code == 200
        assert len(answers[0].json()["findings"]) == 20
        assert process.wait(timeout=30) in (0, -signal.SIGTERM)
    assert "POST /v1/findings 200" in log.read_text()
    assert "Traceback" not in log.read_text()


def test_what_cannot_be_served_is_one_clear_error(tmp_path: Path, engine: EngineSettings) -> None:
    def error(*options: str) -> str:
        found = CliRunner().invoke(app, ["serve", "--bundle", str(engine.bundle), *options])
        assert isinstance(found.exception, SettingsError), found.exception
        return str(found.exception)

    assert "give --token-file" in error("--host", "0.0.0.0").replace("Give", "give")
    assert "cannot be read" in error("--token-file", str(tmp_path / "none"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert "cannot listen" in error("--port", port)


def test_it_does_what_its_description_says(engine: EngineSettings) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    with served(engine.bundle) as (address, _):
        schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
        operations = [found.ok() for found in schema.get_all_operations()]
        assert len(operations) >= 10
        for operation in operations:

            @settings(
                max_examples=15,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy())
            def check(case: Any) -> None:
                # Which bytes are a radiograph cannot be said in a schema, so some are refused.
                case.call_and_validate(base_url=address, excluded_checks=[positive_data_acceptance])

            check()
