"""The world: its meanings, its languages, and its corpora as ordinary files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from xrete.errors import DataError, UsageError
from xrete.files import digest, parse_json, read_text, write_text
from xrete.lazy import NDArray, np

from .config import WorldConfig
from .languages import HEAD, PIVOT, TAIL, Language, languages
from .meanings import Meanings

SCHEMA = "xrete/world/1"
CARD = "world.json"
PLUGIN = '''"""The held-out sets of this folder: xrete run --plugin FOLDER/world.py --task world --data FOLDER."""

from pathlib import Path

from xrete.models.emmax.synthetic import WorldTask

TASKS = {"world": WorldTask.of(Path(__file__).parent)}
'''

BITEXTS = 20_000
MONOLINGUAL = 20_000
HELD_OUT = 500


class World:
    """Artificial languages over one set of meanings, so that the true rank of any two sentences is known.

    Head languages have bitexts to the pivot, tail languages have monolingual text only. Words of different
    languages have no syllable in common, but for cognates, which are the same in all.

    Attributes:
        config: Its settings.
        meanings: What can be said.
        languages: The pivot, head languages, tail languages, by code.
    """

    def __init__(self, config: WorldConfig) -> None:
        """Makes the world; equal settings make equal worlds."""
        self.config = config
        self.meanings = Meanings(config)
        self.languages: Mapping[str, Language] = languages(config)
        self._concepts = dict(pair for language in self.languages.values() for pair in language.words())

    @classmethod
    def open(cls, folder: Path) -> World:
        """Makes the world again whose corpora are in `folder`.

        Raises:
            DataError: there is none, or this version makes another one of its settings.
        """
        file, card = folder / CARD, read_card(folder)
        try:
            world = cls(WorldConfig.model_validate(card["config"]))
        except ValidationError as error:
            raise DataError(f"{file}: {error.errors()[0]['msg']}; make the world again") from None
        if world.digest() != card["digest"]:
            raise DataError(f"{file} was made by another version of XRETE or numpy; make the world again")
        return world

    def read(self, texts: Iterable[str]) -> NDArray[np.int64]:
        """Returns the meanings of sentences in any of the languages, [n, components].

        Raises:
            DataError: a text is no sentence of this world.
        """
        meanings = [self._meaning(text) for text in texts]
        return np.array(meanings, dtype=np.int64).reshape(-1, self.config.components)

    def digest(self) -> str:
        """Returns a digest of all words, word orders and held-out meanings, which are drawn after all else.

        Probabilities are left out: their last bits depend on the machine.
        """
        orders = [language.order.tobytes() for language in self.languages.values()]
        return digest([*self._concepts, *orders, (self.meanings.held_out > 0).tobytes()])

    def write(
        self,
        folder: Path,
        *,
        bitexts: int = BITEXTS,
        monolingual: int = MONOLINGUAL,
        held_out_sentences: int = HELD_OUT,
    ) -> None:
        """Writes corpora as a user would have them, and last `world.json`, which says what they are.

            bitext/qaa-en.tsv     a pair a line, for each head language
            mono/LANG.txt         a sentence a line, for every language
            heldout/LANG.txt      translations of heldout/en.txt line by line, for every language
            world.py              the held-out sets as a task, a plugin

        Args:
            folder: A new or empty folder.
            bitexts: Pairs, of all head languages together.
            monolingual: Sentences of each language.
            held_out_sentences: Sentences of each held-out set.

        Raises:
            UsageError: the folder is not empty, or there are fewer held-out meanings.
            XreteError: it cannot be written.
        """
        if folder.exists() and not (folder.is_dir() and next(folder.iterdir(), None) is None):
            raise UsageError(f"{folder} is not an empty folder; name a new one")
        tested = self.meanings.draw_held_out(held_out_sentences, self._random("held out"))
        head = [code for code in self.languages if code in HEAD]
        shares = {code: len(range(place, bitexts, len(head))) for place, code in enumerate(head)}
        for code, count in shares.items():
            _write_lines(folder / "bitext" / f"{code}-{PIVOT}.tsv", self._bitext(code, count))
        for code, language in self.languages.items():
            random = self._random(f"text {code}")
            text = language.sentences(self.meanings.draw(monolingual, random), random)
            _write_lines(folder / "mono" / f"{code}.txt", text)
            _write_lines(folder / "heldout" / f"{code}.txt", language.sentences(tested, random))
        write_text(folder / "world.py", PLUGIN)
        card = self._card() | {
            "bitexts": shares,
            "monolingual": monolingual,
            "held_out_sentences": held_out_sentences,
        }
        write_text(folder / CARD, json.dumps(card, indent=2) + "\n")

    def _bitext(self, code: str, count: int) -> Iterable[str]:
        random = self._random(f"bitext {code}")
        meanings = self.meanings.draw(count, random)
        source, target = (self.languages[side].sentences(meanings, random) for side in (code, PIVOT))
        return (f"{one}\t{other}" for one, other in zip(source, target, strict=True))

    def _card(self) -> dict[str, Any]:
        most = self.config.components + 1
        return {
            "schema": SCHEMA,
            "note": "Artificial languages, made by xrete.models.emmax.synthetic; `config` makes them again.",
            "config": self.config.model_dump(),
            "digest": self.digest(),
            "pivot": PIVOT,
            "head": [code for code in self.languages if code in HEAD],
            "tail": [code for code in self.languages if code in TAIL],
            "concepts": self.config.concepts,
            "rank_shares": {n: self.meanings.rank_shares(n).round(6).tolist() for n in (2, 4, 8) if n <= most},
        }

    def _meaning(self, text: str) -> list[int]:
        """Looks the words up; sorting gives the order of components, in which concepts are numbered."""
        try:
            concepts = sorted(self._concepts[word] for word in text.split(" "))
        except KeyError as error:
            raise DataError(f"no sentence of this world, for the word {error}: {text}") from None
        if list(map(self.meanings.component, concepts)) != list(range(self.config.components)):
            raise DataError(f"no sentence of this world, for a word too many or too few: {text}")
        return concepts

    def _random(self, purpose: str) -> np.random.Generator:
        """Returns the generator of one file, so that none depends on which others are written."""
        return np.random.default_rng([self.config.seed, 4, *purpose.encode()])


def read_card(folder: Path) -> dict[str, Any]:
    """Reads `world.json`.

    Raises:
        DataError: it is missing, or not what `World.write` wrote.
    """
    file = folder / CARD
    try:
        card = parse_json(read_text(file, kind="world"))
    except json.JSONDecodeError as error:
        raise DataError(f"{file}, line {error.lineno}: not JSON ({error.msg}); make the world again") from None
    if not isinstance(card, dict) or card.get("schema") != SCHEMA:
        raise DataError(f"{file} is not of the schema {SCHEMA}; make the world again")
    return card


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    write_text(path, "".join(f"{line}\n" for line in lines))
