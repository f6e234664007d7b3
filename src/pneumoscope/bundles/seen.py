"""Which radiographs and patients a model was made with, as digests that show neither.

A bundle may leave the house; names of patients may not. So it holds salted digests of six bytes.
Somebody who has a radiograph or a patient's key can look it up. The list shows nothing else.
The salt is derived from the manifest's digest, so that the same training gives the same bundle.
A file's SHA-256 cannot be guessed. Patients' keys can, if they count upwards, so each guess is made
to cost two milliseconds; keys that must never be guessed belong in the manifest as pseudonyms.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
TUNED_ON: tuple[Split, ...] = ("train", "val")
"""Splits that shaped the model: its weights, and its epoch, threshold and calibration."""

# Of a cohort of 10,000 radiographs beside a list of 10,000, one is found by chance once in 2.8
# million times (10^8 pairs, 2^48 digests).
_BYTES = 6
# About 1 MB and two milliseconds for each key.
_SCRYPT = {"n": 1024, "r": 8, "p": 1}
_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class SeenInfo(BaseModel):
    """What a model was made with.

    Attributes:
        salt: of every digest.
        radiographs: by split, digests of files, sorted, as Base64 of six bytes each.
        patients: by split, likewise digests of patients' keys.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    salt: _Digest
    # A page of Base64 that nobody reads.
    radiographs: dict[Split, str] = Field(repr=False)
    patients: dict[Split, str] = Field(repr=False)

    @field_validator("radiographs", "patients")
    @classmethod
    def _whole(cls, value: dict[Split, str]) -> dict[Split, str]:
        for text in value.values():
            if len(b64decode(text, validate=True)) % _BYTES:
                raise ValueError("a list of digests is cut off")
        return value

    @classmethod
    def of(
        cls,
        data_digest: str,
        radiographs: Mapping[str, Iterable[str]],
        patients: Mapping[str, Iterable[str]],
    ) -> Self:
        """The list of a cohort.

        Args:
            data_digest: of the manifest; the salt is derived from it.
            radiographs: by split, hex SHA-256 of each file.
            patients: by split, the patients' keys; empty ones are left out.
        """
        salt = hashlib.sha256(f"pneumoscope seen {data_digest}".encode()).hexdigest()
        return cls(
            salt=salt,
            radiographs={split: _packed(radiographs[split], _radiograph, salt) for split in SPLITS},
            patients={split: _packed(patients[split], _patient, salt) for split in SPLITS},
        )

    def with_tuned(self, radiographs: Iterable[str], patients: Iterable[str]) -> Self:
        """The list with more radiographs that threshold and calibration were fitted on, under val.

        Args:
            radiographs: hex SHA-256 of each file.
            patients: the patients' keys; empty ones are left out.
        """
        lists = {
            "radiographs": _joined(self.radiographs, _packed(radiographs, _radiograph, self.salt)),
            "patients": _joined(self.patients, _packed(patients, _patient, self.salt)),
        }
        return self.model_copy(update=lists)

    def splits_of_radiographs(self, digests: Sequence[str]) -> list[Split | None]:
        """The split each file was in, the first of train, val and test; None for an unknown one.

        Args:
            digests: hex SHA-256 of each file.
        """
        return _found(self.radiographs, digests, _radiograph, self.salt)

    def splits_of_patients(self, keys: Sequence[str]) -> list[Split | None]:
        """Likewise of patients' keys; the same key may mean another person in another hospital."""
        return _found(self.patients, keys, _patient, self.salt)


_Hash = Callable[[str, str], bytes]


def _radiograph(digest: str, salt: str) -> bytes:
    return hashlib.sha256(f"{salt} radiograph {digest}".encode()).digest()[:_BYTES]


def _patient(key: str, salt: str) -> bytes:
    secret = key.encode("utf-8", "surrogateescape")
    return hashlib.scrypt(secret, salt=f"{salt} patient".encode(), dklen=_BYTES, **_SCRYPT)


def _packed(texts: Iterable[str], digest: _Hash, salt: str) -> str:
    return b64encode(b"".join(sorted({digest(text, salt) for text in set(texts) - {""}}))).decode()


def _joined(packed: Mapping[Split, str], more: str) -> dict[Split, str]:
    """The lists, with more digests under val."""
    raw = [b64decode(text) for text in (packed.get("val", ""), more)]
    digests = {part[at : at + _BYTES] for part in raw for at in range(0, len(part), _BYTES)}
    return {**packed, "val": b64encode(b"".join(sorted(digests))).decode()}


def _found(
    packed: Mapping[Split, str], texts: Sequence[str], digest: _Hash, salt: str
) -> list[Split | None]:
    where: dict[bytes, Split] = {}
    for split in reversed(SPLITS):
        raw = b64decode(packed.get(split, ""))
        where.update((raw[at : at + _BYTES], split) for at in range(0, len(raw), _BYTES))
    known = {text: where.get(digest(text, salt)) for text in set(texts) - {""}}
    return [known.get(text) for text in texts]
