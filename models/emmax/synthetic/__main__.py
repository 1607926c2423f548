"""Writes a world's corpora: python -m xrete.models.emmax.synthetic FOLDER --head 4 --tail 4 --cognates 0.3 ..."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from xrete.errors import UsageError, XreteError

from .config import WorldConfig
from .world import BITEXTS, HELD_OUT, MONOLINGUAL, World


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command; an error that the user can mend becomes one sentence and an exit code."""
    options = vars(_parser().parse_args(arguments))
    folder = options.pop("folder")
    sizes = {name: options.pop(name) for name in ("bitexts", "monolingual", "held_out_sentences")}
    try:
        _world(options).write(folder, **sizes)
    except XreteError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    print(f"wrote {folder}; score a model on its held-out sets with")
    print(f"xrete run --plugin {folder / 'world.py'} --task world --data {folder} --model MODEL")


def _world(values: dict[str, object]) -> World:
    try:
        return World(WorldConfig.model_validate(values))
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][0]).replace("_", "-") + ": " if first["loc"] else ""
        raise UsageError(option + first["msg"].removeprefix("Value error, ")) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m xrete.models.emmax.synthetic",
        description="Write the corpora of a world of artificial languages, in which every rank is known.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="a new or empty folder")
    for name, field in WorldConfig.model_fields.items():
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=type(field.default), default=field.default, help=field.description)
    parser.add_argument("--bitexts", type=_count, default=BITEXTS, help="Pairs, of all head languages together.")
    parser.add_argument("--monolingual", type=_count, default=MONOLINGUAL, help="Sentences of each language.")
    parser.add_argument("--held-out-sentences", type=_count, default=HELD_OUT, help="Sentences of a held-out set.")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


if __name__ == "__main__":
    main()
