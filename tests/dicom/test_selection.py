from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
from pydicom.dataset import Dataset

from pneumoscope.dicom.node.settings import (
    NodeSettings,
    parse_destination,
    parse_network,
    parse_peer,
    parse_title,
)
from pneumoscope.dicom.selection import refuse_unless_chest_film
from pneumoscope.errors import ImageError, SettingsError
from tests.dicom.films import CODES, film


def coded(meaning: str, value: str = "1") -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    return item


@pytest.mark.parametrize(
    "elements",
    [
        {},
        {"BodyPartExamined": None, "ViewPosition": None},
        {"BodyPartExamined": "PORT CHEST", "ViewPosition": "AP"},
        {"BodyPartExamined": "", "AnatomicRegionSequence": [coded("Chest", "816094009")]},
        {"ViewPosition": "LATERAL DECUBITUS"},
        {"SOPClassUID": CODES["DX"], "PresentationIntentType": "FOR PRESENTATION"},
        {"ViewPosition": None, "ViewCodeSequence": [coded("postero-anterior")]},
        {"NumberOfFrames": 1},
        {"NumberOfFrames": "01"},
        {"NumberOfFrames": "0"},
        *(
            {"BodyPartExamined": part}
            for part in ("TORAX", "UNKNOWN", "OTHER", "DEFAULT", "", "BRUST", "RTG KLP", "TX")
        ),
        {"BodyPartExamined": "TORAX Y ABDOMEN"},
        {"BodyPartExamined": ["HAND", "CHEST"]},
        {"BodyPartExamined": "CHEST_ABDOMEN"},
    ],
)
def test_frontal_chest_films_pass(tmp_path: Path, elements: dict[str, Any]) -> None:
    refuse_unless_chest_film(film(tmp_path / "film.dcm", **elements))


@pytest.mark.parametrize("part", ["胸部  ".encode("gb18030"), "Tórax ".encode("latin-1")])
def test_a_body_part_in_another_alphabet_passes(tmp_path: Path, part: bytes) -> None:
    path = film(tmp_path / "film.dcm", BodyPartExamined="TORAXX")
    path.write_bytes(path.read_bytes().replace(b"TORAXX", part.ljust(6)))
    refuse_unless_chest_film(path)


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"BodyPartExamined": "HAND"}, "shows body part HAND"),
        ({"BodyPartExamined": "KNEE_LT\x1b"}, r"shows body part KNEE_LT\?"),
        ({"BodyPartExamined": "Cervical Spine"}, "shows body part CERVICAL SPINE"),
        ({"BodyPartExamined": ["HANDS", "PELVIS"]}, "shows body part HANDS"),
        ({"ViewPosition": "LL"}, "no frontal view"),
        ({"ViewPosition": "RAO"}, "no frontal view"),
        ({"ViewPosition": None, "ViewCodeSequence": [coded("left lateral")]}, "no frontal view"),
        ({"NumberOfFrames": 12}, "holds 12 frames"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "raw detector data"),
        ({"SOPClassUID": CODES["DX"] + ".1"}, "raw detector data"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, "no CR, DX"),
        ({"Manufacturer": "Pneumoscope"}, "result of Pneumoscope"),
    ],
)
def test_others_are_refused_with_the_reason(
    tmp_path: Path, elements: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ImageError, match=reason) as raised:
        refuse_unless_chest_film(film(tmp_path / "film.dcm", **elements))
    assert "\x1b" not in str(raised.value)


def test_damaged_files_raise_nothing_but_image_errors(tmp_path: Path) -> None:
    """Whatever stands in a file: what passes here is looked at again when its pixels are read."""
    path = film(tmp_path / "film.dcm")
    content = path.read_bytes()
    random = Random(5)
    refused = 0
    for _ in range(60):
        damaged = bytearray(content[: random.randrange(140, 1200)])
        for _ in range(8):
            damaged[random.randrange(132, len(damaged))] = random.randrange(256)
        path.write_bytes(damaged)
        try:
            refuse_unless_chest_film(path)
        except ImageError:
            refused += 1
    assert refused


def test_peers_titles_and_networks_are_read() -> None:
    peer = parse_peer("PACS@10.1.0.5:104")
    assert (peer.title, peer.host, peer.port, str(peer)) == (
        "PACS",
        "10.1.0.5",
        104,
        "PACS@10.1.0.5:104",
    )
    assert parse_peer("A@[::1]:11112").host == "::1"
    for text in ("PACS", "PACS@host", "PACS@host:0", "PACS@host:70000", "@host:1"):
        with pytest.raises(SettingsError, match="no peer"):
            parse_peer(text)
    web = parse_destination("https://pacs/dicom-web/")
    assert str(web) == "https://pacs/dicom-web"
    assert parse_destination("PACS@10.1.0.5:104") == peer
    with pytest.raises(SettingsError, match="password"):
        parse_destination("https://me:secret@pacs/dicom-web")
    for text in ("", "SEVENTEEN-LETTERS", "BACK\\SLASH"):
        with pytest.raises(SettingsError, match="title"):
            parse_title(text)
    with pytest.raises(SettingsError, match="no address"):
        parse_network("10.1.0.0/99")


def test_addresses_are_admitted_by_network(tmp_path: Path) -> None:
    settings = NodeSettings(
        queue=tmp_path, networks=(parse_network("10.1.0.0/16"), parse_network("127.0.0.1"))
    )
    assert [settings.admits(a) for a in ("10.1.2.3", "::ffff:10.1.2.3", "10.2.0.1", "::1")] == [
        True,
        True,
        False,
        False,
    ]
    assert NodeSettings(queue=tmp_path).admits("10.2.0.1")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.0.5", "node.hospital"])
def test_a_node_that_others_reach_needs_a_list(tmp_path: Path, host: str) -> None:
    with pytest.raises(SettingsError, match="--allow-address"):
        NodeSettings(queue=tmp_path, host=host)
    NodeSettings(queue=tmp_path, host=host, callers=("PACS",))
    NodeSettings(queue=tmp_path, host=host, networks=(parse_network("10.1.0.0/16"),))
    for own in ("127.0.0.1", "::1", "localhost"):
        NodeSettings(queue=tmp_path, host=own)
