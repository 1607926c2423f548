"""What every part is given: where it computes, until when, and where its numbers go. It imports no torch."""

from __future__ import annotations

import gc
import json
import os
import statistics
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MEASUREMENTS = "measurements.jsonl"


@dataclass(frozen=True)
class Given:
    """A part's circumstances.

    Attributes:
        part: Its name.
        out: Folder of the results.
        device: "cuda" or "cpu"; "auto" is not decided yet.
        ends: When it has to end, in seconds of `time.time`.
        corpus: Folder of real text.
        data: Folder of real test data.
    """

    part: str
    out: Path
    device: str
    ends: float
    corpus: Path
    data: Path

    @staticmethod
    def of(part: str, out: Path, device: str, ends: float, corpus: Path, data: Path) -> Given:
        """Puts it together, with whole paths."""
        return Given(part, out.resolve(), device, ends, corpus.resolve(), data.resolve())

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.ends - time.time()

    @property
    def where(self) -> str:
        """The device, decided: "cuda" or "cpu"."""
        import torch

        if self.device != "auto":
            return self.device
        return "cuda" if torch.cuda.is_available() else "cpu"

    @property
    def toy(self) -> bool:
        """Whether shapes are toys: on a CPU, which rehearses."""
        return self.where == "cpu"

    def record(self, name: str, **values: Any) -> None:
        """Writes one row, at once and whole."""
        row = {"part": self.part, "name": name, **values, "at": round(time.time(), 1)}
        with (self.out / MEASUREMENTS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
            file.flush()
            os.fsync(file.fileno())
        print({key: value for key, value in row.items() if key not in ("part", "at")})

    def measure(self, name: str, work: Callable[[], dict[str, Any]], seconds: float = 0.0) -> dict[str, Any]:
        """Measures something that may fail, or for which there may be no time or memory; then the row says that.

        Args:
            name: Of the row.
            work: Does it, and returns the row's values.
            seconds: About how long it takes; less than that is not begun with.

        Returns:
            The values; empty where there are none.
        """
        import torch

        if self.left < seconds:
            self.record(name, skipped=f"{self.left:.0f} s left of about {seconds:.0f}")
            return {}
        try:
            values = work()
        except torch.OutOfMemoryError as error:
            self.record(name, failed=f"out of memory: {first_line(error)}")
            return {}
        except Exception as error:  # whatever it is, the rows behind it are worth having
            traceback.print_exc()
            self.record(name, failed=f"{type(error).__name__}: {first_line(error)}")
            return {}
        finally:
            gc.collect()
            if self.where == "cuda":
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
        self.record(name, **values)
        return values

    def now(self) -> float:
        """Returns the time in seconds, after all that the device was given to do."""
        import torch

        if self.where == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def seconds_of(self, work: Callable[[], object], repeats: int = 3) -> float:
        """Returns the median time of some work, which was done once before."""
        work()
        times = []
        for _ in range(repeats):
            began = self.now()
            work()
            times.append(self.now() - began)
        return statistics.median(times)

    def peak_gib(self) -> float | None:
        """Returns the most memory of the device since the last measurement, in GiB; None on a CPU."""
        import torch

        return torch.cuda.max_memory_allocated() / 2**30 if self.where == "cuda" else None


def first_line(error: Exception) -> str:
    """Returns the first line of an error, cut where it is long."""
    return (str(error).splitlines() or [""])[0][:300]
