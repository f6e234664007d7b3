"""Faults of the DICOM node: films in = results out, whatever happens between.

    python benchmarks/node.py --films 5000 --associations 200 --kills 20 --full 3

A node takes films by C-STORE and STOW-RS from many callers at once, half of them each way, and
sends a Secondary Capture of each to an archive that commits their storage. Meanwhile, at random
moments:
- the node is killed with SIGKILL and started again, over the same queue;
- its disk is full for some seconds (a tmpfs, where this may be mounted; else left out);
- the archive is slow, refuses objects for want of room, or does not keep what it took.
A caller repeats a film until it is acknowledged, as a PACS does. At the end the node is left alone
until its queue is empty, and what the archive has is compared with what was sent. The model is a
stand-in that answers at once. Prints JSON; the exit code is 1 if a count differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPException
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

CAPTURE, CR = "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.1"
COMMITMENT = "1.2.840.10008.1.20.1"
EXPLICIT = "1.2.840.10008.1.2.1"
BOUNDARY = "film"


def films(number: int) -> dict[str, bytes]:
    """Different phantom films as files, by their SOP Instance UID."""
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset

    found = {}
    pixels = np.linspace(0, 4095, 64 * 64, dtype=np.uint16).reshape(64, 64)
    for index in range(number):
        film, meta = Dataset(), FileMetaDataset()
        film.SOPClassUID, film.SOPInstanceUID = CR, f"1.2.826.0.1.3680043.8.498.7.{index + 1}"
        film.StudyInstanceUID = film.SeriesInstanceUID = "1.2.826.0.1.3680043.8.498.8"
        film.PatientName, film.PatientID, film.Modality = "Phantom", "P1", "CR"
        film.BodyPartExamined, film.ViewPosition = "CHEST", "PA"
        film.Rows = film.Columns = 64
        film.SamplesPerPixel, film.PhotometricInterpretation = 1, "MONOCHROME2"
        film.BitsAllocated, film.BitsStored, film.HighBit = 16, 12, 11
        film.PixelRepresentation = 0
        film.PixelData = np.roll(pixels, index).tobytes()
        meta.TransferSyntaxUID = EXPLICIT
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CR, film.SOPInstanceUID
        film.file_meta = meta
        stream = BytesIO()
        film.save_as(stream, enforce_file_format=True)
        found[str(film.SOPInstanceUID)] = stream.getvalue()
    return found


class Archive:
    """Keeps captures by the film that they are about; slow, choosy and forgetful at random."""

    def __init__(self, port: int, seed: int) -> None:
        from pynetdicom import AE, evt

        self.films: dict[str, str] = {}
        self.counts: Counter[str] = Counter()
        self.calm = False
        self._random, self._lock = random.Random(seed), threading.Lock()
        entity = AE(ae_title="ARCHIVE")
        entity.maximum_associations = 20
        entity.add_supported_context(CAPTURE, EXPLICIT)
        entity.add_supported_context(COMMITMENT)
        handlers = [(evt.EVT_C_STORE, self._store), (evt.EVT_N_ACTION, self._commit)]
        self._server: Any = entity.start_server(
            ("127.0.0.1", port), block=False, evt_handlers=handlers
        )

    def _store(self, event: Any) -> int:
        luck = 1.0 if self.calm else self._random.random()
        if luck < 0.01:
            time.sleep(0.5)
        if 0.01 < luck < 0.03:
            self.counts["refused"] += 1
            return 0xA700
        capture = event.dataset
        (film,) = capture.SourceImageSequence
        with self._lock:
            self.counts["stored"] += 1
            self.films[str(capture.SOPInstanceUID)] = str(film.ReferencedSOPInstanceUID)
        return 0

    def _commit(self, event: Any) -> tuple[int, None]:
        request = event.action_information
        threading.Timer(0.02, self._answer, [event.assoc, request]).start()
        return 0, None

    def _answer(self, association: Any, request: Any) -> None:
        from pydicom import Dataset

        told, kept, lost = Dataset(), [], []
        for item in request.ReferencedSOPSequence:
            forgotten = not self.calm and self._random.random() < 0.01
            with self._lock:
                if forgotten:
                    self.films.pop(str(item.ReferencedSOPInstanceUID), None)
                has = str(item.ReferencedSOPInstanceUID) in self.films
            if not has:
                self.counts["not kept"] += 1
                item.FailureReason = 0x0112
            (kept if has else lost).append(item)
        told.TransactionUID, told.ReferencedSOPSequence = request.TransactionUID, kept
        if lost:
            told.FailedSOPSequence = lost
        try:
            association.send_n_event_report(
                told, 2 if lost else 1, COMMITMENT, "1.2.840.10008.1.20.1.1"
            )
        except (RuntimeError, ValueError):  # The node was killed.
            self.counts["answers lost"] += 1


class NodeProcess:
    """The node; killed and started again on the same ports and queue."""

    def __init__(self, queue: Path, archive: int, log: Path) -> None:
        self.port, self.http = free_port(), free_port()
        script = Path(__file__).parent / "_node_process.py"
        peer = f"ARCHIVE@127.0.0.1:{archive}"
        self._command = [sys.executable, str(script), str(queue), peer]
        self._command += [str(self.port), str(self.http)]
        self._log, self._process = log, None

    def start(self) -> None:
        with self._log.open("ab") as stream:
            self._process = subprocess.Popen(self._command, stdout=stream, stderr=stream)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def status(self) -> dict[str, Any] | None:
        try:
            url = f"http://127.0.0.1:{self.http}/status.json"
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.loads(answer.read())
        except (OSError, HTTPException, ValueError):
            return None


class Callers:
    """Send films until each is acknowledged, by many threads."""

    def __init__(self, node: NodeProcess, todo: dict[str, bytes], batch: int) -> None:
        self._node, self._batch = node, batch
        # A sender repeats a film as it sent it before: always the same file.
        self._todo = [dict(list(todo.items())[way::2]) for way in (0, 1)]
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        self.acknowledged: set[str] = set()

    def run(self, threads: int) -> None:
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(self._work, range(threads)):
                pass

    def _work(self, number: int) -> None:
        send = self._associate if number % 2 else self._post
        todo = self._todo[number % 2]
        while batch := self._take(todo):
            try:
                taken = send(batch)
            except (OSError, HTTPException, RuntimeError, ValueError):
                taken = set()
                self.counts["calls that failed"] += 1
            with self._lock:
                self.acknowledged |= taken
                todo.update((uid, batch[uid]) for uid in batch.keys() - taken)
            if len(taken) < len(batch):
                time.sleep(random.uniform(1.0, 5.0))

    def _take(self, todo: dict[str, bytes]) -> dict[str, bytes]:
        with self._lock:
            return {uid: todo.pop(uid) for uid in list(todo)[: self._batch]}

    def _associate(self, batch: dict[str, bytes]) -> set[str]:
        from pydicom import dcmread
        from pynetdicom import AE

        entity = AE(ae_title="CALLER")
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 30
        entity.add_requested_context(CR, EXPLICIT)
        association = entity.associate("127.0.0.1", self._node.port, ae_title="PNEUMOSCOPE")
        taken = set()
        if not association.is_established:
            raise OSError("no association")
        try:
            for uid, content in batch.items():
                status = association.send_c_store(dcmread(BytesIO(content))).get("Status")
                if status == 0:
                    taken.add(uid)
                elif status is not None:
                    self.counts[f"refused with {status:04X}"] += 1
        except (RuntimeError, ValueError):  # Killed in between: the rest is not acknowledged.
            self.counts["calls that failed"] += 1
        finally:
            association.release()
        self.counts["acknowledged by C-STORE"] += len(taken)
        return taken

    def _post(self, batch: dict[str, bytes]) -> set[str]:
        part = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        body = b"".join(part + content + b"\r\n" for content in batch.values())
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._node.http}/dicom-web/studies",
            data=body + f"--{BOUNDARY}--\r\n".encode(),
            headers={
                "Content-Type": f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                answer = json.loads(response.read())
        except urllib.error.HTTPError as error:
            answer = json.loads(error.read())
        for item in answer.get("00081198", {}).get("Value", []):
            self.counts[f"refused with {item['00081197']['Value'][0]:04X}"] += 1
        stored = answer.get("00081199", {}).get("Value", [])
        taken = {item["00081155"]["Value"][0] for item in stored}
        self.counts["acknowledged by STOW-RS"] += len(taken)
        return taken


@contextmanager
def disk(folder: Path, megabytes: int) -> Iterator[bool]:
    """A small disk of its own in `folder`; False where it may not be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    try:
        own = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        own = False
    try:
        yield own
    finally:
        if own:
            subprocess.run(["umount", "-l", str(folder)], check=False)


def fill(folder: Path, seconds: float) -> None:
    """Leave no byte free for a while."""
    ballast = folder / "ballast"
    try:
        with ballast.open("wb", buffering=0) as stream:
            while True:
                stream.write(bytes(1 << 16))
    except OSError:
        time.sleep(seconds)
    finally:
        ballast.unlink()


def disturb(
    node: NodeProcess, folder: Path | None, kills: int, full: int, seed: int
) -> Counter[str]:
    """Kill the node and fill its disk at random moments, as often as asked."""
    chance, done = random.Random(seed), Counter[str]()
    events = ["kill"] * kills + ["full"] * (full if folder is not None else 0)
    chance.shuffle(events)
    for event in events:
        while node.status() is None:  # Or it would never come up between two kills.
            time.sleep(0.5)
        time.sleep(chance.uniform(1.0, 10.0))
        if event == "kill":
            node.kill()
            done["kills"] += 1
            time.sleep(chance.uniform(0.0, 1.0))
            node.start()
        elif folder is not None:
            fill(folder, chance.uniform(1.0, 4.0))
            done["full disks"] += 1
    return done


def settle(node: NodeProcess, queue: Path, seconds: float) -> dict[str, int]:
    """Wait until nothing moves any more; what is left in each state."""
    until, left = time.monotonic() + seconds, {}
    while time.monotonic() < until:
        status = node.status()
        if status is not None:
            left = {state: value["files"] for state, value in status["waiting"].items()}
            if not any(left[state] for state in ("accepted", "results", "uncommitted")):
                break
        time.sleep(1.0)
    return {**left, "done": len(list((queue / "done").iterdir()))}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    todo, port = films(options.films), free_port()
    archive, began = Archive(port, options.seed), time.monotonic()
    with disk(folder / "disk", options.disk) as own:
        queue = folder / "disk" / "queue"
        node = NodeProcess(queue, port, folder / "node.log")
        node.start()
        callers = Callers(node, todo, options.batch)
        with ThreadPoolExecutor(1) as pool:
            small = folder / "disk" if own else None
            faults = pool.submit(disturb, node, small, options.kills, options.full, options.seed)
            callers.run(options.associations)
            happened = faults.result()
        archive.calm = True
        left = settle(node, queue, options.patience)
        node.kill()
    delivered = Counter(archive.films.values())
    return {
        "films": len(todo),
        "acknowledged": len(callers.acknowledged),
        "delivered_films": len(delivered),
        "missing": len(set(todo) - set(delivered)),
        "unknown": len(set(delivered) - set(todo)),
        "films_with_two_results": sum(number > 1 for number in delivered.values()),
        "left_in_queue": left,
        "faults": dict(happened),
        "callers": {"threads": options.associations, **dict(sorted(callers.counts.items()))},
        "archive": dict(sorted(archive.counts.items())),
        "seconds": round(time.monotonic() - began, 1),
        "cores": len(os.sched_getaffinity(0)),
        "seed": options.seed,
    }


def sound(found: dict[str, Any]) -> bool:
    """Whether films in = results out."""
    left = found["left_in_queue"]
    return (
        found["films"] == found["acknowledged"] == found["delivered_films"] == left["done"]
        and not found["missing"]
        and not found["unknown"]
        and not found["films_with_two_results"]
        and not any(number for state, number in left.items() if state != "done")
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--films", type=int, default=5000)
    parser.add_argument("--associations", type=int, default=200, help="callers at a time")
    parser.add_argument("--batch", type=int, default=5, help="films a call")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--full", type=int, default=3, help="times that the disk is full")
    parser.add_argument("--disk", type=int, default=256, help="MB of the disk")
    parser.add_argument("--patience", type=float, default=1800, help="seconds to settle")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="node-"))
    try:
        found = measure(options, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    found["sound"] = sound(found)
    text = json.dumps(found, indent=2)
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n", encoding="utf-8")
    sys.exit(not found["sound"])


if __name__ == "__main__":
    main()
