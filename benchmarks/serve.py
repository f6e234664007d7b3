"""Load on `pneumoscope serve`, over loopback: throughput, latency, overload, memory.

    python benchmarks/serve.py --bundle model.onnx --films FOLDER

Measures, in this order:
1. the engine's own rate: `process_in` on the radiographs, heatmaps and both PNGs made;
2. saturation: as many clients as fill half the queue, one radiograph a request; and its share of 1;
3. half load: requests at half of 2's rate, evenly spaced; latency;
4. overload: ten times as many clients as places; each answer is compared with 1's, what is refused
   must be 429, and everything must be one or the other;
5. memory: so many requests in a row; the server's and the worker's resident memory on the way.

Server, worker and clients share the machine's cores, so the rates are those of all together.
Prints JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
import numpy as np

from pneumoscope.inference import Failed, load_engine, process_in
from pneumoscope.serve.engine_process import _answer
from pneumoscope.serve.settings import EngineSettings

QUEUE = 64
TOLERANCE = 1e-4


def own_rate(bundle: Path, films: list[Path], count: int) -> tuple[float, dict[str, float]]:
    """Radiographs per second without a server, and the probability of each radiograph."""
    settings = EngineSettings(bundle=bundle)
    engine = load_engine(bundle, batch_size=settings.batch_size)
    known: dict[str, float] = {}

    def remember(item: object) -> None:
        assert not isinstance(item, Failed)
        known[item.name] = item.finding.probability  # type: ignore[attr-defined]
        _answer(item, settings=settings)  # type: ignore[arg-type]

    def run(number: int) -> float:
        named = [(film.name, film) for film in (films * (number // len(films) + 1))[:number]]
        started = time.perf_counter()
        for _ in process_in(engine, named, remember, batch_size=settings.batch_size):
            pass
        return number / (time.perf_counter() - started)

    run(len(films))
    return run(count), known


class Load:
    """Clients of one server.

    Args:
        address: of the server.
        films: contents by name.
        known: the probability that each is to get.
    """

    def __init__(self, address: str, films: dict[str, bytes], known: dict[str, float]) -> None:
        self._films, self._known, self._names = films, known, list(films)
        limits = httpx.Limits(max_connections=None)
        self._client = httpx.AsyncClient(base_url=address, timeout=300, limits=limits)
        self.outcomes: Counter[str] = Counter()
        self.seconds: list[float] = []

    async def ask(self, index: int) -> None:
        """Send one radiograph and judge the answer."""
        name = self._names[index % len(self._names)]
        started = time.perf_counter()
        try:
            answer = await self._client.post(
                "/v1/findings",
                content=self._films[name],
                headers={"Content-Type": "image/png"},
            )
        except httpx.HTTPError as error:
            self.outcomes[f"lost: {type(error).__name__}"] += 1
            return
        if answer.status_code != 200:
            self.outcomes[str(answer.status_code)] += 1
            return
        self.seconds.append(time.perf_counter() - started)
        got = answer.json()["findings"][0]["finding"]["probability"]
        right = abs(got - self._known[name]) <= TOLERANCE
        self.outcomes["right" if right else "wrong"] += 1

    async def closed(self, clients: int, requests: int) -> float:
        """Clients that ask again as soon as they are answered; answered radiographs per second."""
        numbers = iter(range(requests))

        async def client() -> None:
            for number in numbers:
                await self.ask(number)

        before, started = self.outcomes["right"], time.perf_counter()
        await asyncio.gather(*(client() for _ in range(clients)))
        return (self.outcomes["right"] - before) / (time.perf_counter() - started)

    async def paced(self, rate: float, requests: int) -> None:
        """Requests at a steady rate, whatever the answers do."""
        tasks, started = [], time.perf_counter()
        for number in range(requests):
            await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
            tasks.append(asyncio.create_task(self.ask(number)))
        await asyncio.gather(*tasks)

    def told(self) -> dict[str, object]:
        """Outcomes and latency since the last time."""
        found: dict[str, object] = {"outcomes": dict(self.outcomes)}
        if self.seconds:
            found |= {
                f"p{part}_ms": round(1000 * float(np.percentile(self.seconds, part)), 1)
                for part in (50, 99)
            }
        self.outcomes.clear()
        self.seconds.clear()
        return found


def memory(process: int) -> dict[str, float]:
    """Resident megabytes of the server and of its largest child, a worker."""

    def resident(number: int) -> float:
        pages = int(Path(f"/proc/{number}/statm").read_text().split()[1])
        return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)

    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return {"server": resident(process), "worker": max(resident(int(c)) for c in children)}


async def measure(address: str, process: int, arguments: argparse.Namespace) -> dict[str, object]:
    """Steps 2 to 5."""
    load = Load(address, arguments.contents, arguments.known)
    await load.closed(8, 2 * len(arguments.contents))
    load.told()
    rate = await load.closed(QUEUE // 2, arguments.requests)
    result: dict[str, object] = {"saturation": {"per_second": round(rate, 2)} | load.told()}
    await load.paced(rate / 2, arguments.requests)
    result["half_load"] = {"per_second": round(rate / 2, 2)} | load.told()
    await load.closed(10 * QUEUE, 10 * arguments.requests)
    result["overload"] = load.told()
    steps = []
    for _ in range(5):
        await load.closed(16, arguments.many // 5)
        steps.append(memory(process))
    result["memory_mb"] = steps
    result["after"] = load.told()
    return result


def main() -> None:
    """Run everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--films", type=Path, required=True)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--many", type=int, default=5000)
    parser.add_argument("--distinct", type=int, default=16)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    films = sorted(arguments.films.glob("*.png"))[: arguments.distinct]
    rate, arguments.known = own_rate(arguments.bundle, films, arguments.requests)
    arguments.contents = {film.name: film.read_bytes() for film in films}
    command = [sys.executable, "-m", "pneumoscope", "serve", "--port", "0"]
    command += ["--bundle", str(arguments.bundle), "--queue", str(QUEUE), "--keep-mb", "64"]
    command += ["--workers", str(arguments.workers)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        address = server.stdout.readline().split()[0]
        try:
            result = asyncio.run(measure(address, server.pid, arguments))
        finally:
            server.terminate()
    saturation = result["saturation"]
    assert isinstance(saturation, dict)
    share = round(saturation["per_second"] / rate, 3)
    sys.stdout.write(
        json.dumps({"engine_per_second": round(rate, 2), "share": share} | result, indent=2) + "\n"
    )


if __name__ == "__main__":
    main()
