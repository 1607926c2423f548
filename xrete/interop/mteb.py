"""XRETE's models in MTEB: `mteb.evaluate(as_encoder(xrete.load_model(NAME)), task)`. Needs the package mteb."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from mteb.models import ModelMeta
from mteb.models.abs_encoder import AbsEncoder
from mteb.models.model_meta import ScoringFunction
from mteb.types import Licenses

from xrete.model import UNVERSIONED, LoadedModel, ModelIdentity, Role, wrap

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mteb import TaskMetadata
    from mteb.types import PromptType
    from numpy.typing import NDArray

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Size of a weight."""


class MtebEncoder(AbsEncoder):  # type: ignore[misc] # the library is not followed by the type checker
    """A model that meets MTEB's `EncoderProtocol`; `similarity` and `similarity_pairwise` are MTEB's cosine.

    Attributes:
        model: The model.
        mteb_model_meta: What MTEB files its results under.
    """

    def __init__(self, model: LoadedModel) -> None:
        self.model = model
        self.mteb_model_meta = model_meta(model)

    def encode(
        self,
        inputs: Iterable[Mapping[str, list[str]]],
        *,
        task_metadata: TaskMetadata | None = None,
        prompt_type: PromptType | None = None,
        **kwargs: Any,
    ) -> NDArray[np.float32]:
        """Returns the model's vectors as they are, float32 [texts, dimension], as MTEB scores those of any model.

        Args:
            inputs: MTEB's data loader, batches with a column `text`. Its batches are joined: the model makes its
                own.
            task_metadata: The task, whose name and type choose what the model puts before texts.
            prompt_type: What the texts are, queries or documents; None where the task is symmetric.
            **kwargs: What MTEB says beside that (split, subset, batch size); none of it is used.
        """
        model = self.model
        if task_metadata is not None:
            role: Role | None = None if prompt_type is None else prompt_type.value
            model = model.for_task(task_metadata.name, task_metadata.type, (role,) if role else ()).for_role(role)
        texts = [text for batch in inputs for text in batch["text"]]
        return np.asarray(model.encode(texts), dtype=np.float32)


def as_encoder(model: Any) -> MtebEncoder:
    """Makes a model one that MTEB evaluates.

    Args:
        model: What `xrete.load_model` returns, or any object with `encode(list[str]) -> array`.

    Raises:
        TypeError: `model` has no `encode`.
    """
    return MtebEncoder(wrap(model))


def model_meta(model: LoadedModel) -> ModelMeta:
    """Says in MTEB's terms what a model is. None is what its card does not say in those terms.

    Name, revision and the rest of the identity decide where MTEB keeps results, so that it takes none for those of
    a model with other vectors. An object without a revision gets a new one each time.
    """
    card, identity, encoder = model.card, model.identity, model.encoder
    parameters = getattr(encoder, "parameters", card.parameters)
    licence = card.licence.lower().replace(" ", "-")
    return ModelMeta(
        loader=None,
        name=f"xrete/{identity.name}",
        revision=f"{UNVERSIONED}-{uuid.uuid4().hex}" if identity.revision == UNVERSIONED else identity.revision,
        experiment_kwargs=_settings(identity),
        release_date=None,
        languages=None,
        n_parameters=parameters,
        memory_usage_mb=parameters * BYTES[identity.dtype] / 2**20 if parameters else None,
        max_tokens=identity.max_length,
        embed_dim=card.dimension,
        license=licence if licence in get_args(Licenses) else None,
        open_weights=None,
        public_training_code=None,
        public_training_data=None,
        framework=[],
        similarity_fn_name=ScoringFunction.COSINE,
        use_instructions=bool(identity.prefix or identity.prompts),
        training_datasets=None,
    )


def _settings(identity: ModelIdentity) -> dict[str, Any]:
    fields = {key: value for key, value in asdict(identity).items() if key not in ("name", "revision")}
    return {key: value for key, value in fields.items() if value or key not in ("prompts", "role")}
