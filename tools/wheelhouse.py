"""Make a wheelhouse: every wheel that an installation without a network needs, with its digest.

    python tools/wheelhouse.py base --out wheelhouse
    python tools/wheelhouse.py serve,hospital --out wheelhouse

Needs pip and a network. Afterwards, on the machine without a network, with the same system and the
same version of Python:

    python -m venv /opt/pneumoscope
    /opt/pneumoscope/bin/pip install --no-index --find-links wheelhouse --require-hashes \
        -r wheelhouse/requirements.lock

Without libraries, so that any Python can run it.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCK = "requirements.lock"


def main() -> None:
    """Read the arguments and make the wheelhouse."""
    parser = argparse.ArgumentParser(description="Collect the wheels of an installation.")
    parser.add_argument("extras", help="base, or extras such as serve,hospital")
    parser.add_argument("--out", type=Path, default=Path("wheelhouse"), help="a new folder")
    arguments = parser.parse_args()
    if arguments.out.exists() and any(arguments.out.iterdir()):
        sys.exit(f"error: {arguments.out} is not empty. Choose another --out")
    collect(arguments.extras, arguments.out)
    wheels = sorted(arguments.out.glob("*.whl"))
    megabytes = sum(wheel.stat().st_size for wheel in wheels) / 1e6
    print(f"{len(wheels)} wheels, {megabytes:.0f} MB, and {LOCK} in {arguments.out}")


def collect(extras: str, folder: Path) -> None:
    """Build our own wheel, download the others, write the lock file.

    Args:
        extras: `base`, or names of extras separated by commas.
        folder: where they go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip"]
    run([*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT])
    (own,) = folder.glob("pneumoscope-*.whl")
    wanted = str(own) if extras == "base" else f"{own}[{extras}]"
    constraints = ["--constraint", ROOT / "constraints.txt"]
    only = ["--only-binary", ":all:", "--dest", folder]
    run([*pip, "download", "--quiet", *constraints, *only, wanted])
    (folder / LOCK).write_text(lock(folder), encoding="utf-8")


def lock(folder: Path) -> str:
    """The lock file of a folder of wheels: name, version and SHA-256 of each."""
    lines = []
    for wheel in sorted(folder.glob("*.whl")):
        name, version = wheel.name.split("-")[:2]
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        name = re.sub(r"[-_.]+", "-", name).lower()
        lines.append(f"{name}=={version} --hash=sha256:{digest}\n")
    return "".join(lines)


def run(command: list[object]) -> None:
    """Run a command; end with its exit code if it fails."""
    done = subprocess.run([str(part) for part in command], check=False)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()
