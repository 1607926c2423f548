"""Mewsli-X's training data (Ruder et al. 2021): mentions in English Wikipedia, each with its entity."""

from __future__ import annotations

from collections.abc import Sequence

from xrete.errors import DataError
from xrete.shapes.ranking import Pool, Ranking
from xrete.sources import Folder, Hub, HubData
from xrete.task import TaskCard

from ..rows import description, mention

HUB = HubData(repo="izhx/mewsli-x", revision="e4e6c9e18ffca692f97aecf75faf3a8b92ef865f")
ARCHIVE = "raw.tar.gz"
"""Of the repository: the released files, with the texts that are not part of the release itself."""


class WikipediaPairs:
    """The released files."""

    card = TaskCard(
        name="wikipedia-pairs",
        title="Mewsli-X's Wikipedia pairs",
        shape="ranking",
        category="retrieval",
        metric="map@20",
        languages=("en",),
        splits=(),
        training=("train", "dev"),
        counts={"train": 167719, "dev": 14051},
        hub=HUB,
        licence="CC BY-SA 3.0",
        citation="Ruder et al. 2021, EMNLP",
        layout="mewslix/wikipedia_pairs-train.jsonl (and wikipedia_pairs-dev.jsonl)",
    )

    def files(self, language: str, split: str) -> Sequence[str]:
        """One file."""
        return [f"mewslix/wikipedia_pairs-{split}.jsonl"]

    def from_folder(self, folder: Folder, language: str, split: str) -> Ranking:
        """Reads a mention and its entity from each line."""
        (file,) = self.files(language, split)
        ids, queries, relevant = [], [], []
        pool: dict[str, str] = {}
        for number, row in enumerate(folder.each_json_line(file), start=1):
            where = f"{folder.locate(file)}, line {number}"
            try:
                passage, entity = row["contextual_mention"], row["entity"]
                ids.append(passage["mention"]["example_id"])
                queries.append(mention(passage["context"], passage["mention"]["mention_span"]))
                relevant.append([entity["entity_id"]])
                pool[entity["entity_id"]] = description(entity)
            except (KeyError, TypeError) as error:
                raise DataError(f"{where}: not a pair of Mewsli-X ({error}); fetch the file again") from None
            except ValueError as error:
                raise DataError(f"{where}: {error}") from None
        return Ranking(ids, queries, relevant, Pool(list(pool), list(pool.values())))

    def from_hub(self, hub: Hub, language: str, split: str) -> Ranking:
        """Reads the released file, which the repository holds in an archive."""
        (path,) = self.files(language, split)
        return self.from_folder(hub.unpack(ARCHIVE, {path: path.rpartition("/")[2]}), language, split)


WIKIPEDIA = WikipediaPairs()
