"""Collects what a machine with a GPU and without a network has to be given beside the checkout.

    python bench/carry.py --out .carry --corpus ../shared/corpus --data ../shared/data

OUT then holds `wheels/`, the packages of `gpu-wheels.txt` for that machine's Python, and `corpus/` and `data/` with
what the real run of `gpu.py` reads, if they are named. Everything together with the files that git tracks must stay
below a limit, which a place to carry it to may have. On that machine:

    python3 -m pip install --no-index --no-deps --target SITE .carry/wheels/*.whl
    PYTHONPATH=SITE python3 bench/gpu.py --minutes 9 --corpus .carry/corpus --data .carry/data --out DIR
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parent.parent
WANTED = ROOT / "bench" / "gpu-wheels.txt"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
READ = {"corpus": ("bitext", "mono"), "data": ("tatoeba", "flores200_dataset")}
"""Folders that the real run reads."""
MEGABYTE = 10**6


def pinned() -> list[str]:
    """Returns NAME==VERSION of each wanted package."""
    versions = {}
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines():
        name, equals, _ = line.partition("==")
        if equals:
            versions[plain(name)] = line
    names = [line for line in WANTED.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    return [versions[plain(name)] for name in names]


def plain(name: str) -> str:
    """Returns a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def download(requirements: Iterable[str], python: str, out: Path) -> None:
    """Fetches wheels for the other machine's Python, and nothing that they need."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", python, "--dest", str(out)]
    for platform in PLATFORMS:
        command += ["--platform", platform]
    subprocess.run([*command, *requirements], check=True)


def size_of(files: Iterable[Path]) -> int:
    """Returns the bytes of files."""
    return sum(file.stat().st_size for file in files if file.is_file())


def main() -> int:
    """Collects; returns 1 if it is too much."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / ".carry", help="folder, which is made anew")
    parser.add_argument("--corpus", type=Path, help="text for the real run")
    parser.add_argument("--data", type=Path, help="data that it is scored on")
    parser.add_argument("--python", default="3.12", help="of the other machine")
    parser.add_argument("--limit", type=float, default=64, help="megabytes, the checkout included")
    given = parser.parse_args()
    shutil.rmtree(given.out, ignore_errors=True)
    download(pinned(), given.python, given.out / "wheels")
    for name, folders in READ.items():
        source: Path | None = getattr(given, name)
        for folder in folders if source else ():
            shutil.copytree(source / folder, given.out / name / folder)
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    sizes = {
        "checkout": size_of(ROOT / name for name in tracked.split("\0") if name),
        **{folder.name: size_of(folder.rglob("*")) for folder in sorted(given.out.iterdir())},
    }
    total = sum(sizes.values())
    print(
        ", ".join(f"{name} {size / MEGABYTE:.1f} MB" for name, size in sizes.items()),
        f"= {total / MEGABYTE:.1f} MB",
    )
    if total > given.limit * MEGABYTE:
        print(
            f"more than {given.limit:.0f} MB; leave --corpus or --data out, or name smaller ones", file=sys.stderr
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
