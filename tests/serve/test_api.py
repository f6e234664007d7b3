"""The HTTP API on a tiny bundle: what is answered, and what is refused."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import threading
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread

import pneumoscope
from pneumoscope.bundles import read_onnx, write_onnx
from pneumoscope.bundles.onnx_file import unseal
from pneumoscope.dicom.objects import KINDS
from pneumoscope.findings import Finding
from pneumoscope.serve.app import create_app
from pneumoscope.serve.card import rendered_card
from pneumoscope.serve.jobs import Job, WorkQueue
from pneumoscope.serve.service import Service
from pneumoscope.serve.settings import EngineSettings, ServeSettings
from tests.dicom import films as dicom_films
from tests.serve.conftest import LOCAL

TOKEN = "a-token-of-some-length"


def sent(client: TestClient, *films: Path | bytes) -> tuple[int, dict[str, Any]]:
    contents = [film if isinstance(film, bytes) else film.read_bytes() for film in films]
    answer = client.post("/v1/findings", files=[("files", ("f", data)) for data in contents])
    return answer.status_code, answer.json()


def png(width: int, height: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (width, height)).save(stream, "PNG")
    return stream.getvalue()


def levels(content: bytes) -> NDArray[np.float64]:
    return np.asarray(Image.open(io.BytesIO(content)), dtype=np.float64) / 65535


@pytest.mark.slow
def test_films_get_the_findings_that_python_gives(
    client: TestClient, engine: EngineSettings, films: list[Path]
) -> None:
    status, body = sent(client, *films[:3])
    assert status == 200
    reader = pneumoscope.load(engine.bundle, threads=1)
    for film, found in zip(films[:3], body["findings"], strict=True):
        expected = reader.find(film)
        finding = Finding.model_validate_json(json.dumps(found["finding"]))
        assert finding.image == found["id"] != film.name
        assert finding.probability == pytest.approx(expected.finding.probability, abs=1e-5)
        assert finding.label == expected.finding.label
        picture = client.get(f"/{found['film']}")
        assert picture.headers["content-type"] == "image/png"
        np.testing.assert_allclose(
            levels(picture.content), expected.radiograph.pixels, atol=1 / 65535
        )
        heat = levels(client.get(f"/{found['heatmap']}").content)
        np.testing.assert_allclose(heat, expected.heatmap, atol=1e-3)
        assert client.get(f"/v1/findings/{found['id']}").json() == found


def test_a_film_may_be_the_body(client: TestClient, films: list[Path]) -> None:
    answer = client.post(
        "/v1/findings", content=films[0].read_bytes(), headers={"Content-Type": "image/png"}
    )
    assert answer.status_code == 200
    assert len(answer.json()["findings"]) == 1


def test_a_bad_film_has_its_reason_and_the_others_go_on(
    client: TestClient, films: list[Path]
) -> None:
    status, body = sent(client, films[0], b"no film", films[1], png(400, 400))
    assert status == 200
    errors = [found["finding"]["error"] for found in body["findings"]]
    assert errors[0] is None and errors[2] is None
    assert "not an image" in errors[1]
    assert "too many pixels (400 x 400" in errors[3]
    assert client.get(f"/v1/findings/{body['findings'][1]['id']}/film.png").status_code == 404


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"no film", "image/png", 422),
        (b"", "application/dicom", 422),
        (b"{}", "application/json", 415),
        (bytes(500_001), "image/png", 413),
        (b"no form", "multipart/form-data", 400),
        (b"no form", "multipart/form-data; boundary=b", 400),
    ],
)
def test_errors_are_problem_details(
    client: TestClient, content: bytes, kind: str, status: int
) -> None:
    answer = client.post("/v1/findings", content=content, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert body["detail"] and "/" not in body["detail"].replace("multipart/form-data", "").replace(
        "application/", ""
    ).replace("image/", "")


def test_length_is_counted_where_it_is_not_announced(client: TestClient) -> None:
    chunks = (bytes(100_000) for _ in range(6))
    answer = client.post("/v1/findings", content=chunks, headers={"Content-Type": "image/png"})
    assert answer.status_code == 413


def test_too_many_films_and_other_fields_are_refused(client: TestClient) -> None:
    assert sent(client, *[b"x"] * 7)[0] == 400
    assert client.post("/v1/findings", files=[("file", b"x")]).status_code == 400
    fields = client.post("/v1/findings", files=[("files", b"x")], data={"name": "x"})
    assert fields.status_code == 400


def test_a_full_queue_says_when_to_come_again(
    client: TestClient, service: Service, films: list[Path]
) -> None:
    queue = service.dispatcher.queue
    assert queue.reserve(7)
    try:
        assert sent(client, films[0])[0] == 200
        answer = client.post(
            "/v1/findings", files=[("files", film.read_bytes()) for film in films[:2]]
        )
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 60
    finally:
        queue.release(7)
    assert queue.held == 0
    assert sent(client, *films[:2])[0] == 200


def test_findings_are_forgotten_when_asked(client: TestClient, films: list[Path]) -> None:
    key = sent(client, films[0])[1]["findings"][0]["id"]
    assert client.delete(f"/v1/findings/{key}").status_code == 204
    assert client.get(f"/v1/findings/{key}").status_code == 404
    assert client.delete(f"/v1/findings/{key}").status_code == 404


def test_a_dicom_film_has_objects_of_its_own_patient(client: TestClient, dicom_film: Path) -> None:
    _, body = sent(client, dicom_film)
    (found,) = body["findings"]
    answer = client.get(f"/{found['dicom']}", params={"objects": "all"})
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        made = {name: dcmread(io.BytesIO(archive.read(name))) for name in archive.namelist()}
    # There is a segmentation only where the disease is asserted (tests/dicom/test_objects.py).
    assert {"sc.dcm", "sr.dcm", "gsps.dcm"} <= set(made) <= {f"{kind}.dcm" for kind in KINDS}
    source = dcmread(dicom_film)
    for each in made.values():
        assert each.PatientID == source.PatientID
        assert each.StudyInstanceUID == source.StudyInstanceUID
        assert each.SOPInstanceUID != source.SOPInstanceUID
    by_default = client.get(f"/{found['dicom']}")
    with zipfile.ZipFile(io.BytesIO(by_default.content)) as archive:
        assert archive.namelist() == ["sc.dcm", "sr.dcm"]
    wrong = client.get(f"/{found['dicom']}", params={"objects": "pdf"})
    assert wrong.status_code == 400
    assert ", ".join(KINDS) in wrong.json()["detail"]
    assert client.get("/v1/model").json()["downloads"] == ["png", "json", "dicom"]


def test_a_dicom_film_comes_with_its_values_and_study(client: TestClient, dicom_film: Path) -> None:
    _, body = sent(client, dicom_film)
    (found,) = body["findings"]
    picture = Image.open(io.BytesIO(client.get(f"/{found['values']}").content))
    scale, got = found["display"]["scale"], np.asarray(picture, dtype=np.float64)
    values = scale["low"] + got * (scale["high"] - scale["low"]) / 65535
    np.testing.assert_array_equal(values, dcmread(dicom_film).pixel_array)
    shown = found["display"]
    assert (shown["spacing"], shown["directions"]) == ([0.2, 0.1], ["L", "F"])
    told = [shown[name] for name in ("age", "sex", "date", "series")]
    assert told == [None, "F", "2026-01-02", None]


def test_a_reading_is_kept_beside_the_finding(client: TestClient, films: list[Path]) -> None:
    _, body = sent(client, films[0])
    (found,) = body["findings"]
    place, finding = f"/v1/findings/{found['id']}/reading", found["finding"]
    assert found["reading"] is None
    box = {"x": 3, "y": 4, "width": 20, "height": 10}
    answer = client.put(
        place, json={"agrees": False, "boxes": [box], "note": "effusion", "reader": "AB"}
    )
    other = next(name for name in ("NORMAL", "PNEUMONIA") if name != finding["label"])
    expected = {"agrees": False, "boxes": [box], "note": "effusion", "reader": "AB", "label": other}
    assert (answer.status_code, answer.json()) == (200, expected)
    assert client.get(f"/v1/findings/{found['id']}").json()["reading"] == expected
    assert client.put(place, json={"agrees": True}).json()["label"] == finding["label"]
    assert client.put(place, json={"note": "x"}).json()["label"] is None


def test_a_reading_is_a_structured_report(
    client: TestClient, dicom_film: Path, films: list[Path], tmp_path: Path
) -> None:
    _, body = sent(client, dicom_film, films[0])
    (found, other) = body["findings"]
    place = f"/v1/findings/{found['id']}/reading"
    assert client.get(f"{place}.dcm").status_code == 404
    box = {"x": 3, "y": 4, "width": 20, "height": 10}
    reading = {"agrees": True, "boxes": [box], "note": "Grün", "reader": "A^B"}
    label = client.put(place, json=reading).json()["label"]
    answer = client.get(f"{place}.dcm")
    assert answer.headers["content-type"] == "application/dicom"
    (tmp_path / "reading.dcm").write_bytes(answer.content)
    report, film = dcmread(tmp_path / "reading.dcm"), dcmread(dicom_film)
    assert (report.Modality, report.VerificationFlag) == ("SR", "UNVERIFIED")
    assert (report.PatientID, report.StudyInstanceUID) == (film.PatientID, film.StudyInstanceUID)
    text = str(report)
    assert "Grün" in text and "A B" in text
    assert ("Present" in text) == (label == "PNEUMONIA")
    _, corners = [part.value for part in report.iterall() if part.keyword == "GraphicData"]
    assert list(corners)[:6] == [3, 4, 23, 4, 23, 14]
    if shutil.which("dciodvfy"):
        command = ["dciodvfy", str(tmp_path / "reading.dcm")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "ComprehensiveSR" in done.stdout + done.stderr
        assert not re.findall("^Error.*", done.stdout + done.stderr, re.MULTILINE)
    client.put(f"/v1/findings/{other['id']}/reading", json={"agrees": True})
    assert client.get(f"/v1/findings/{other['id']}/reading.dcm").status_code == 404


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"no json", 422),
        (b'{"agrees": "perhaps"}', 422),
        (b'{"boxes": [{"x": 1, "y": 2, "width": 0, "height": 3}]}', 422),
        (b'{"boxes": [{"x": 100, "y": 2, "width": 900, "height": 3}]}', 422),
        (b'{"name": "x"}', 422),
        (b'{"note": "' + b"x" * 70_000 + b'"}', 413),
    ],
)
def test_what_is_no_reading_is_refused(
    client: TestClient, films: list[Path], content: bytes, status: int
) -> None:
    _, body = sent(client, films[0])
    place = f"/v1/findings/{body['findings'][0]['id']}/reading"
    answer = client.put(place, content=content)
    assert answer.status_code == status
    assert client.get(place.removesuffix("/reading")).json()["reading"] is None
    assert client.put("/v1/findings/0/reading", json={}).status_code == 404


@pytest.mark.parametrize("field", ["note", "reader"])
@pytest.mark.parametrize("letter", ["\0", "\a", "\x1f"])
def test_control_characters_in_a_reading_are_refused(
    client: TestClient, films: list[Path], field: str, letter: str
) -> None:
    _, body = sent(client, films[0])
    place = f"/v1/findings/{body['findings'][0]['id']}/reading"
    answer = client.put(place, json={field: f"a{letter}b"})
    assert answer.status_code == 422
    assert "Control characters" in answer.json()["detail"]
    assert client.put(place, json={field: "a\tb\r\nc"}).status_code == 200


def test_a_negative_reading_has_no_lesions_in_its_report(
    client: TestClient, dicom_film: Path
) -> None:
    _, body = sent(client, dicom_film)
    (found,) = body["findings"]
    positive = found["finding"]["label"] == "PNEUMONIA"
    box = {"x": 3, "y": 4, "width": 20, "height": 10}
    for agrees in (True, False):
        client.put(f"/v1/findings/{found['id']}/reading", json={"agrees": agrees, "boxes": [box]})
        content = client.get(f"/v1/findings/{found['id']}/reading.dcm").content
        report = dcmread(io.BytesIO(content))
        drawn = [part for part in report.iterall() if part.keyword == "GraphicData"]
        drawn = [part for part in report.iterall() if part.keyword == "GraphicData"]
        # One of them is the radiograph itself.
        assert len(drawn) == (2 if positive == agrees else 1)


def recalibrated(engine: EngineSettings, folder: Path) -> EngineSettings:
    """The same weights with another threshold and temperature: the model has the same name."""
    known = read_onnx(engine.bundle)
    info = known.info.model_copy(update={"threshold": 0.6, "temperature": 1.5})
    write_onnx(folder / "other.onnx", unseal(known.model), info)
    return replace(engine, bundle=folder / "other.onnx")


def test_what_another_bundle_found_gets_no_objects_and_no_reading(
    client: TestClient,
    service: Service,
    engine: EngineSettings,
    dicom_film: Path,
    tmp_path: Path,
) -> None:
    _, body = sent(client, dicom_film)
    (found,) = body["findings"]
    place = f"/v1/findings/{found['id']}"
    reading = client.put(f"{place}/reading", json={"agrees": True}).json()
    present = client.get("/v1/model").json()
    assert found["bundle"] == present["bundle"]
    # The server is started again with another calibration, and its store outlived it.
    restarted = Service(ServeSettings(engine=recalibrated(engine, tmp_path)))
    restarted.store = service.store
    later = TestClient(create_app(restarted), base_url=LOCAL)
    model = later.get("/v1/model").json()
    assert model["model"] == present["model"] and model["bundle"] != present["bundle"]
    for answer in (
        later.get(f"{place}/dicom.zip"),
        later.get(f"{place}/reading.dcm"),
        later.put(f"{place}/reading", json={"agrees": False}),
    ):
        assert answer.status_code == 409
        assert "Send the radiograph again" in answer.json()["detail"]
    # The finding itself names its model and threshold; it can still be read.
    kept = later.get(place).json()
    assert kept["finding"] == found["finding"] and kept["reading"] == reading
    for path in ("dicom.zip", "reading.dcm"):
        assert client.get(f"{place}/{path}").status_code == 200
    restarted._scratch.remove()


def test_a_result_without_a_digest_is_of_the_model_that_it_names(
    client: TestClient, service: Service, dicom_film: Path
) -> None:
    _, body = sent(client, dicom_film)
    answer = service.store.get(body["findings"][0]["id"])
    assert answer is not None
    for key, name, status in (("a" * 32, None, 200), ("b" * 32, "other@12345678", 409)):
        finding = Finding.model_validate_json(answer.finding)
        if name is not None:
            finding = finding.model_copy(update={"model": name})
        old = replace(answer, key=key, finding=finding.json_line(), bundle=None)
        service.store.add(old)
        assert client.get(f"/v1/findings/{key}/dicom.zip").status_code == status


def test_the_card_is_a_piece_of_html() -> None:
    card = rendered_card(
        "# Card\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n<script>x</script>![p](http://x/y)"
    )
    assert "<h1>Card</h1>" in card and "<td>2</td>" in card
    assert "<script" not in card and "<img" not in card


def test_other_films_have_no_objects(client: TestClient, films: list[Path], tmp_path: Path) -> None:
    nothing = np.full((128, 128), 1000, dtype=np.uint16)
    blank = dicom_films.film(tmp_path / "blank.dcm", pixels=nothing)
    nameless = dicom_films.film(tmp_path / "nameless.dcm", StudyInstanceUID=None)
    _, body = sent(client, films[0], blank, nameless)
    for found in body["findings"]:
        assert found["finding"]["error"] is None and found["dicom"] is None
        assert client.get(f"/v1/findings/{found['id']}/dicom.zip").status_code == 404


def test_nothing_of_the_patient_is_kept_where_no_objects_are_offered(
    engine: EngineSettings, dicom_film: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    settings = ServeSettings(engine=replace(engine, dicom=False, study=False), store=store)
    service = Service(settings)
    service.start()
    with TestClient(create_app(service), base_url=LOCAL) as client:
        _, body = sent(client, dicom_film)
        assert body["findings"][0]["dicom"] is None
        assert client.get("/v1/model").json()["downloads"] == ["png", "json"]
    kept = [path.read_bytes() for path in store.rglob("*") if path.is_file()]
    # The mark, radiograph, heatmap, values, answer.
    assert len(kept) == 5
    private = (b"QX47", b"ACC-99", b"2026-01-02", b'"sex":"F"')
    assert not any(word in content for content in kept for word in private)


def test_a_worker_that_is_killed_loses_no_film(
    client: TestClient, service: Service, films: list[Path]
) -> None:
    process = service.dispatcher.lanes[0]._process
    assert process is not None and process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    status, body = sent(client, *films[:4])
    assert status == 200
    assert all(found["finding"]["error"] is None for found in body["findings"])
    assert service.dispatcher.tally.restarts >= 1
    assert client.get("/readyz").status_code == 200


def test_every_answer_has_the_headers(client: TestClient) -> None:
    for path in ("/", "/v1/model", "/nothing", "/healthz"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "set-cookie" not in headers
        assert not any(name.startswith("access-control") for name in headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_other_sites_may_not_ask(client: TestClient, headers: dict[str, str]) -> None:
    answer = client.post("/v1/findings", files=[("files", b"x")], headers=headers)
    assert answer.status_code in (403, 421)


def test_a_token_is_asked_for(service: Service, films: list[Path]) -> None:
    app = create_app(service)
    guarded = ServeSettings(engine=service.settings.engine, host="0.0.0.0", token=TOKEN)
    app.user_middleware[0].kwargs["settings"] = guarded
    client = TestClient(app, base_url="http://films.example")
    for path in ("/v1/model", "/metrics", "/openapi.json", "/v1/findings/x"):
        answer = client.get(path)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        wrong = client.get(path, headers={"Authorization": f"Bearer {TOKEN}x"})
        assert wrong.status_code == 401
    client.headers["Authorization"] = f"Bearer {TOKEN}"
    assert client.get("/v1/model").status_code == 200
    assert sent(client, films[0])[0] == 200


def test_with_a_token_a_proxy_may_have_another_name(service: Service) -> None:
    app = create_app(service)
    guarded = ServeSettings(engine=service.settings.engine, token=TOKEN)
    app.user_middleware[0].kwargs["settings"] = guarded
    client = TestClient(app, base_url=LOCAL, headers={"Host": "radiology.example"})
    known = {"Authorization": f"Bearer {TOKEN}"}
    assert client.get("/v1/model").status_code == 401
    assert client.get("/v1/model", headers=known).status_code == 200
    own, foreign = ({"Origin": f"https://{name}.example"} for name in ("radiology", "evil"))
    assert client.get("/v1/model", headers=known | own).status_code == 200
    assert client.get("/v1/model", headers=known | foreign).status_code == 403


def test_a_method_that_a_path_lacks_is_refused_with_those_it_has(client: TestClient) -> None:
    for path, method, allowed in (
        ("/v1/findings", "PUT", "POST"),
        ("/v1/findings", "OPTIONS", "POST"),
        ("/v1/findings", "GET", "POST"),
        (f"/v1/findings/{'0' * 32}", "POST", "DELETE, GET, HEAD"),
        (f"/v1/findings/{'0' * 32}/reading", "GET", "PUT"),
        ("/v1/model", "DELETE", "GET, HEAD"),
    ):
        answer = client.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
        assert answer.headers["content-type"] == "application/problem+json"
    assert client.get("/v1/nothing").status_code == 404
    assert client.get("/main.js").status_code == 200


def test_a_picture_that_there_is_not_has_its_reason(client: TestClient, films: list[Path]) -> None:
    _, body = sent(client, films[0], b"no film")
    usable, unusable = (f"/v1/findings/{found['id']}" for found in body["findings"])
    told = client.get(f"{usable}/values.png")
    assert told.status_code == 404 and "film.png" in told.json()["detail"]
    for name in ("film", "values", "heatmap"):
        assert "could not be used" in client.get(f"{unusable}/{name}.png").json()["detail"]


def test_a_file_name_that_is_too_long_is_named(client: TestClient, films: list[Path]) -> None:
    named = ("x" * 5000 + ".png", films[0].read_bytes())
    answer = client.post("/v1/findings", files=[("files", named)])
    assert answer.status_code == 400
    assert "shorter file names" in answer.json()["detail"]


def test_the_log_and_the_metrics_name_nobody(
    client: TestClient, films: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="pneumoscope"):
        data = films[0].read_bytes()
        body = client.post("/v1/findings", files=[("files", ("Doe^Jane.png", data))]).json()
        key = body["findings"][0]["id"]
        client.get(f"/v1/findings/{key}")
        client.get("/v1/findings/Doe")
    text = caplog.text + client.get("/metrics").text + str(body)
    assert "GET /v1/findings/{key} 200" in caplog.text
    assert "Doe" not in text
    assert key not in caplog.text
    assert 'pneumoscope_films_total{outcome="judged"}' in text


def test_what_was_accepted_is_finished_at_the_end(
    engine: EngineSettings, films: list[Path]
) -> None:
    service = Service(ServeSettings(engine=engine, queue=8))
    service.start()
    queue, folder = service.dispatcher.queue, service.folder
    jobs = []
    for index in range(5):
        assert queue.reserve(1)
        path = folder / str(index)
        path.write_bytes(films[index].read_bytes())
        jobs.append(Job(f"{index:032x}", path))
        queue.put(jobs[-1])
    service.stop()
    assert all(job.answer.result(timeout=0).width > 0 for job in jobs)
    assert not queue.reserve(1)
    assert not folder.exists()


def test_a_worker_that_grew_is_replaced(engine: EngineSettings, films: list[Path]) -> None:
    service = Service(ServeSettings(engine=engine, growth=1))
    service.start()
    client = TestClient(create_app(service), base_url=LOCAL)
    try:
        assert sent(client, films[0])[0] == 200
        deadline = time.monotonic() + 20
        while service.dispatcher.tally.recycled == 0 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert service.dispatcher.tally.recycled == 1
        assert sent(client, films[1])[0] == 200
        assert service.dispatcher.tally.restarts == 0
    finally:
        service.stop()


def test_many_at_once_are_answered_or_refused_and_never_mixed_up(
    client: TestClient, service: Service, films: list[Path]
) -> None:
    sizes = {film: Image.open(film).size for film in films}
    outcomes: list[int] = []

    def ask(film: Path) -> None:
        status, body = sent(client, film)
        outcomes.append(status)
        if status == 200:
            found = body["findings"][0]
            assert (found["width"], found["height"]) == sizes[film]
            shown = levels(client.get(f"/{found['film']}").content)
            np.testing.assert_allclose(
                shown, np.asarray(Image.open(film), dtype=float) / 255, atol=1e-4
            )

    threads = [threading.Thread(target=ask, args=(film,)) for film in films[:24]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 24
    assert set(outcomes) <= {200, 429} and 200 in outcomes
    assert service.dispatcher.queue.held == 0


def test_a_picture_that_was_not_judged_has_neither_number_nor_heat(client: TestClient) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (128, 128)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    answer = client.post(
        "/v1/findings", content=stream.getvalue(), headers={"Content-Type": "image/png"}
    )
    assert answer.status_code == 200
    (found,) = answer.json()["findings"]
    assert found["finding"]["gate"] == {"flagged": True, "reason": "not_chest"}
    assert (found["finding"]["label"], found["finding"]["probability"]) == (None, None)
    assert found["film"] is not None
    assert found["heatmap"] is None
    told = client.get(f"/v1/findings/{found['id']}/heatmap.png")
    assert told.status_code == 404 and "not assessed" in told.json()["detail"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/", "/v1/model", "/metrics", "/nowhere"])
def test_head_answers_as_get_without_a_body(client: TestClient, path: str) -> None:
    asked, answered = client.head(path), client.get(path)
    assert asked.status_code == answered.status_code
    assert asked.content == b""
    assert asked.headers["content-type"] == answered.headers["content-type"]


@pytest.mark.parametrize("kind", ["image/jpg", "image/pjpeg", "image/tif", "IMAGE/JPG; q=1"])
def test_other_words_for_a_picture_are_understood(
    client: TestClient, films: list[Path], kind: str
) -> None:
    content = films[0].read_bytes()
    answer = client.post("/v1/findings", content=content, headers={"Content-Type": kind})
    assert answer.status_code == 200, answer.text


def test_two_workers_share_the_films_and_one_may_die(
    engine: EngineSettings, films: list[Path]
) -> None:
    service = Service(ServeSettings(engine=engine, queue=16, films_per_request=12, workers=2))
    service.start()
    client = TestClient(create_app(service), base_url=LOCAL)
    lanes = service.dispatcher.lanes
    try:
        status, body = sent(client, *films[:12])
        assert status == 200
        assert [found["finding"]["error"] for found in body["findings"]] == [None] * 12
        assert all(lane.tally.answered > 0 for lane in lanes)
        process = lanes[0]._process
        assert process is not None and process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        assert sent(client, *films[:12])[0] == 200
        assert client.get("/v1/model").json()["workers"] == 2
    finally:
        service.stop()
    assert service.dispatcher.tally.answered == 24
    assert not service.dispatcher.ready


def test_waiting_films_are_shared() -> None:
    queue = WorkQueue(8, takers=2)
    assert queue.reserve(7)
    for index in range(7):
        queue.put(Job(str(index), Path(str(index))))
    taken = [len(queue.take(8, wait=False, idle=True) or ()) for _ in range(4)]
    assert taken == [4, 2, 1, 0]
