"""Jobs of a sweep on a Ray cluster (`xrete run --on ray`).

Every job is a Ray task that starts the same command for one cell as a process of its own. A job whose worker or
node dies is started again by Ray, and goes on where the record's journal ends; the record's lock keeps two attempts
apart. All nodes therefore see the results folder under the same path.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xrete.errors import UsageError, XreteError
from xrete.files import parse_json, write_error

if TYPE_CHECKING:
    from xrete.evaluation.sweep import Cell

RETRIES = 3
"""How often a job is started again after its process, its worker or its node has died."""
OBJECT_STORE_BYTES = 80 * 2**20
"""Of a cluster that is started here, about the least that Ray takes: jobs hand over nothing but records."""
SECONDS_TO_ANSWER = 10.0
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node")
PR_SET_PDEATHSIG = 1
"""From <linux/prctl.h>: which signal a process gets when its parent dies."""


@dataclass(frozen=True)
class Started:
    """A job has been started."""

    cell: Cell
    node: str


@dataclass(frozen=True)
class Ended:
    """A job has ended.

    Attributes:
        cell: Its cell.
        line: Its record, as a line of JSON; empty where it failed.
        log: What its process said on standard error.
        error: Why it failed.
    """

    cell: Cell
    line: str = ""
    log: str = ""
    error: XreteError | None = None


class ProcessDied(Exception):  # noqa: N818 - what happened, and not the user's error
    """A signal ended the process of a job."""


Done = tuple[int, str, str]
"""Exit code, standard output and standard error of a command."""


@dataclass(frozen=True)
class RayJob:
    """What a worker needs to know of a job.

    Attributes:
        arguments: Of Python.
        folder: Where the command was given, and is given again.
        environment: Of the command; a variable that the node has too is the node's.
        mark: A file in the results folder, which proves that the folder is shared.
    """

    arguments: Sequence[str]
    folder: str
    environment: Mapping[str, str]
    mark: str

    def run(self) -> Done:
        """Runs it on this node.

        Raises:
            XreteError: the node does not see what it needs.
            ProcessDied: a signal ended it.
        """
        for path, what in ((self.folder, "the folder that the sweep was started in"), (self.mark, "its results")):
            if not Path(path).exists():
                raise XreteError(f"node {socket.gethostname()} has no {path}: {what} must be on a shared disk")
        linux = sys.platform == "linux"
        done = subprocess.run(
            [sys.executable, *self.arguments],
            cwd=self.folder,
            env={**self.environment, **os.environ},
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            # Where Ray does not end what a dead worker has started, the next attempt would wait for its lock.
            preexec_fn=partial(ctypes.CDLL(None).prctl, PR_SET_PDEATHSIG, signal.SIGTERM) if linux else None,
        )
        if done.returncode < 0:
            raise ProcessDied(f"its process was ended by {signal.Signals(-done.returncode).name}")
        return done.returncode, done.stdout, done.stderr


def run(jobs: Mapping[Cell, Sequence[str]], results: Path, gpus: int | None) -> Iterator[Started | Ended]:
    """Runs the jobs, as many at once as the cluster has room for, and says what happens as it happens.

    The cluster is that of the environment variable RAY_ADDRESS, else one that is started on this machine and ends
    with the sweep.

    Args:
        jobs: The arguments of `xrete` for each cell; what they print on standard output is handed back.
        results: Where the records go.
        gpus: GPUs of a job; None takes one where the cluster has any.

    Yields:
        For each cell that it was started, once, and that it has ended.

    Raises:
        UsageError: no node has so many GPUs.
        XreteError: Ray is not installed, the cluster is not reached, or the results folder cannot be written.
    """
    ray = _connect()
    try:
        share = _gpus(ray, gpus)
        launcher = (*TORCHRUN, str(share)) if share > 1 else ()
        with _mark(results) as mark:
            start = ray.remote(
                num_returns="streaming", num_gpus=share, max_retries=RETRIES, retry_exceptions=[ProcessDied]
            )(_start)
            running = {}
            for cell, arguments in jobs.items():
                command = (*launcher, "-m", "xrete", *arguments)
                running[start.remote(RayJob(command, str(Path.cwd()), dict(os.environ), mark.name))] = cell
            while running:
                (stream,), _ = ray.wait(list(running))
                event = _next(ray, running[stream], stream)
                if isinstance(event, Ended):
                    del running[stream]
                yield event
    finally:
        ray.shutdown()


def _start(job: RayJob) -> Iterator[str | Done]:
    """What a worker does: it says where it is, and then how the job went."""
    yield socket.gethostname()
    yield job.run()


def _connect() -> Any:
    """Joins the cluster that the environment names, or starts one; returns Ray."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise XreteError("--on ray needs Ray: pip install 'xrete[ray]'") from None
    address = os.environ.get("RAY_ADDRESS")
    if address:
        _knock(address)
    new: dict[str, Any] = {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    try:
        ray.init(
            address=address or "local",
            log_to_driver=False,
            logging_level=logging.ERROR,
            **({} if address else new),
        )
    except Exception as error:  # Ray names no class
        where = f"join the Ray cluster at {address} (RAY_ADDRESS)" if address else "start Ray on this machine"
        raise XreteError(f"cannot {where}: {_first_line(error)}") from error
    return ray


def _knock(address: str) -> None:
    """Makes sure that somebody answers at an address, which Ray itself takes minutes to find out."""
    host, _, port = address.rpartition(":")
    if address == "auto":
        return
    if not (host and port.isdigit()) or "//" in host:
        raise UsageError(f"RAY_ADDRESS is {address}; name the cluster as HOST:6379, or auto on one of its nodes")
    try:
        socket.create_connection((host.strip("[]"), int(port)), SECONDS_TO_ANSWER).close()
    except OSError as error:
        raise XreteError(f"no Ray cluster answers at {address} (RAY_ADDRESS): {error}") from error


def _gpus(ray: Any, asked: int | None) -> int:
    """Returns how many GPUs a job gets."""
    most = int(max(node["Resources"].get("GPU", 0) for node in ray.nodes() if node["Alive"]))
    if asked is None:
        return min(1, most)
    if asked > most:
        raise UsageError(f"--gpus {asked}: no node of the Ray cluster has more than {most}")
    return asked


def _mark(results: Path) -> Any:
    """Makes a file in the results folder that is gone when it is closed."""
    try:
        results.mkdir(parents=True, exist_ok=True)
        return tempfile.NamedTemporaryFile(prefix=".sweep-", dir=results.resolve())
    except OSError as error:
        raise write_error(results, error) from error


def _next(ray: Any, cell: Cell, stream: Any) -> Started | Ended:
    """Takes what a job has to say next."""
    try:
        news = ray.get(next(stream))
    except ray.exceptions.RayTaskError as error:
        return Ended(cell, error=_reason(error.cause))
    except ray.exceptions.WorkerCrashedError:
        return Ended(cell, error=_gave_up("its worker died"))
    except ray.exceptions.RayError as error:
        return Ended(cell, error=XreteError(f"Ray gave the job up: {_first_line(error)}; run again to go on"))
    if isinstance(news, str):
        return Started(cell, news)
    code, printed, log = news
    line = printed.splitlines()[-1] if printed else ""
    if code == 0:
        return Ended(cell, line, log)
    kind = UsageError if code == UsageError.exit_code else XreteError
    return Ended(cell, log=log, error=kind(why(line, log)))


def why(line: str, log: str) -> str:
    """Returns why a command failed: what it printed as JSON, else its last error, else its last words."""
    try:
        error = parse_json(line)["error"]
    except (ValueError, TypeError, KeyError):
        error = None
    if error:
        return str(error)
    words = log.splitlines() or ["it said nothing"]
    errors = [word for word in words if word.startswith("error: ")] or words
    return errors[-1].removeprefix("error: ")


def _reason(cause: BaseException) -> XreteError:
    if isinstance(cause, XreteError):
        return cause
    if isinstance(cause, ProcessDied):
        return _gave_up(str(cause))
    return XreteError(f"{type(cause).__name__}: {cause}")


def _gave_up(what: str) -> XreteError:
    return XreteError(f"{what}, {RETRIES + 1} times; see whether there is enough memory, and run again to go on")


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
