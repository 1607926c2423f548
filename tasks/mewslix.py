"""Mewsli-X (Ruder et al. 2021): find the entity that a news sentence mentions among a million descriptions."""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakValueDictionary

from xrete.errors import DataError
from xrete.shapes.ranking import Pool, Ranking
from xrete.sources import Folder, Hub, Mini
from xrete.task import TaskCard

from . import recipes
from .rows import description, marked, mention
from .stages.wikipedia import ARCHIVE, HUB

ENTITIES = 1_003_893
DEV = {
    "ar": 318, "de": 326, "en": 316, "es": 311, "fa": 72, "ja": 310, "pl": 304, "ro": 145, "ta": 312, "tr": 262,
    "uk": 315,
}  # fmt: skip
TEST = {
    "ar": 1501, "de": 1551, "en": 1490, "es": 1552, "fa": 458, "ja": 1519, "pl": 1562, "ro": 672, "ta": 1567,
    "tr": 1215, "uk": 1537,
}  # fmt: skip
CANDIDATES = "mewslix/candidate_set_entities.jsonl"


class MewsliX:
    """The released files of 2022. All languages are searched in one pool of entities, which is read once."""

    card = TaskCard(
        name="mewslix",
        title="Mewsli-X: entity retrieval, 11 languages, a million candidates",
        shape="ranking",
        category="retrieval",
        metric="map@20",
        mteb_type="Retrieval",
        languages=tuple(TEST),
        splits=("test", "dev"),
        counts={"test": TEST, "dev": DEV},
        protocols=("zero-shot", "fine-tune"),
        recipes=recipes.ENTITIES,
        hub=HUB,
        licence="CC BY-SA 3.0 (Wikipedia), CC BY 2.5 (WikiNews)",
        citation="Ruder et al. 2021, EMNLP (XTREME-R); the release mewsli-x_20220518_6",
        max_length=64,
        layout="mewslix/wikinews_mentions-test.jsonl (and -dev) and mewslix/candidate_set_entities.jsonl",
        notes=(
            "the released files are not the version behind XTREME-R's numbers, which are not comparable",
            "a model reads 64 tokens of a text, as in XTREME-R",
            "the hub's repository is a copy by others: of it the released files are read (raw.tar.gz, 316 MB, all "
            "languages), not its prepared ones, whose texts are already put together",
        ),
    )

    def files(self, language: str, split: str) -> Sequence[str]:
        """The mentions of all languages, and the candidates."""
        return [f"mewslix/wikinews_mentions-{split}.jsonl", CANDIDATES]

    def from_folder(self, folder: Folder, language: str, split: str) -> Ranking:
        """Reads the mentions of one language."""
        path = self.files(language, split)[0]
        ids, queries, entities = [], [], []
        for number, row in enumerate(folder.each_json_line(path), start=1):
            try:
                if row["context"]["language"] != language:
                    continue
                for entry in row["mentions"]:
                    ids.append(entry["example_id"])
                    queries.append(mention(row["context"], entry["mention_span"]))
                    entities.append([entry["entity_id"]])
            except (KeyError, TypeError) as error:
                where = f"{folder.locate(path)}, line {number}"
                raise DataError(f"{where}: not a mention of Mewsli-X ({error}); fetch the file again") from None
            except ValueError as error:
                raise DataError(f"{folder.locate(path)}, line {number}: {error}") from None
        return Ranking(ids, queries, entities, _pool(folder))

    def from_hub(self, hub: Hub, language: str, split: str) -> Ranking:
        """Reads the released files, which the repository holds in an archive."""
        members = {path: path.rpartition("/")[2] for path in self.files(language, split)}
        return self.from_folder(hub.unpack(ARCHIVE, members), language, split)

    def from_mini(self, mini: Mini, language: str, split: str) -> Ranking | None:
        """Reads the sample's mentions."""
        rows = [
            row
            for row in mini.json_lines("mewslix-mentions.jsonl")
            if (row["language"], row["split"]) == (language, split)
        ]
        if not rows:
            return None
        entities = mini.json_lines("mewslix-entities.jsonl")
        pool = Pool([row["entity"] for row in entities], [row["description"] for row in entities])
        queries = [marked(row["left"], row["mention"], row["right"]) for row in rows]
        return Ranking([row["id"] for row in rows], queries, [[row["entity"]] for row in rows], pool)


_POOLS: WeakValueDictionary[tuple[object, ...], Pool] = WeakValueDictionary()
"""Pools in use, by file: every language gets the same object."""


def _pool(folder: Folder) -> Pool:
    file = folder.locate(CANDIDATES)
    stat = file.stat()
    key = (file.resolve(), stat.st_mtime_ns, stat.st_size)
    pool = _POOLS.get(key)
    if pool is None:
        ids, texts = [], []
        for number, row in enumerate(folder.each_json_line(CANDIDATES), start=1):  # never held as a whole
            try:
                ids.append(row["entity_id"])
                texts.append(description(row))
            except (KeyError, TypeError) as error:
                where = f"{file}, line {number}"
                raise DataError(f"{where}: not an entity of Mewsli-X ({error}); fetch the file again") from None
        if len(ids) != ENTITIES:
            raise DataError(f"{file}: {len(ids)} entities where Mewsli-X has {ENTITIES}; fetch the file again")
        _POOLS[key] = pool = Pool(ids, texts)
    return pool


TASK = MewsliX()
