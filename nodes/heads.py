"""The node that runs shallow heads on the embeddings of a backbone."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from auricle.engine.command import Change, Command
from auricle.engine.node import NodeParams
from auricle.engine.port import InputPort, OutputPort
from auricle.engine.stream import Axis, Origin
from auricle.engine.transform import Transform
from auricle.errors import ConfigError, ModelError, NothingToChangeError
from auricle.models.heads.bank import HeadBank, shared_bank
from auricle.models.heads.head import Mlp, load_head
from auricle.models.registry import find
from auricle.names import NAME
from auricle.nodes.predictions import FLOAT32, Prediction, Scores


class HeadsParams(NodeParams):
    """Parameters of `Heads`."""

    heads: tuple[str, ...] = Field((), description="Names of installed heads, or their folders.")
    top_k: int | None = Field(
        None, gt=0, description="Most labels in a prediction, strongest first; all, if left out."
    )


class Heads(Transform[HeadsParams]):
    """Any number of shallow heads on one backbone, run as one product.

    Heads come and go, by command, while the graph runs.

    Raises:
        ConfigError: A head is not installed, is not a plain MLP, takes embeddings of another length
            or, if its card has a hash, of another backbone; or its name is taken.
    """

    stage = "heads"

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        self._embeddings = self.add_input(
            InputPort("embeddings", "A backbone's embedding of a segment.", FLOAT32, axes=None)
        )
        self.add_output(
            OutputPort("predictions", "Scores of every head.", Prediction, follows=self._embeddings)
        )
        # Changes, on the control thread, replace the bank as a whole under the lock. The stream's
        # thread reads it once a call, without the lock.
        self._lock = threading.Lock()
        self._bank: HeadBank | None = None
        self._asked_for: dict[str, str] = {}
        """The name or folder by which each head in use was asked for, by its own name."""
        for head in self.params.heads:
            self.add_head(head)()

    def describe(self) -> dict[str, Any]:
        predictions = [
            {
                "head": head.card.name,
                "model": head.card.name,
                "model_version": head.card.version,
                "labels": list(head.labels),
            }
            for head in self._loaded()
        ]
        return {"predictions": predictions}

    def commands(self) -> Mapping[str, Command]:
        return {"add-head": self.add_head, "remove-head": self.remove_head}

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "heads": [self._asked_for[name] for name in self.names()]}

    def add_head(self, head: str) -> Change:
        """Use another head from the next segment on.

        Args:
            head: Name of an installed head, or its folder.

        Returns:
            The change, which returns the name of the head.

        Raises:
            ConfigError: The head is not installed, is not a plain MLP or cannot be used here, or
                its name is taken.
        """
        try:
            loaded = load_head(find(head))
        except ModelError as error:
            raise ConfigError(str(error), node=self.name) from error
        self._check(loaded)

        def change() -> str:
            self._use(loaded, head)
            return loaded.card.name

        return change

    def _use(self, head: Mlp, asked_for: str) -> None:
        with self._lock:
            self._check(head)
            self._asked_for[head.card.name] = asked_for
            self._bank = shared_bank([*self._loaded(), head])
            # From here on a backbone with other embeddings is refused when the graph is built.
            self._embeddings.axes = (Axis("embedding", head.input_size),)
            self._embeddings.origin = self._origin()
            self._embeddings.remedy = self._remedy()

    def _check(self, head: Mlp) -> None:
        """Refuse a head that cannot be used here.

        Raises:
            ConfigError: Its name cannot be published or is taken, or it takes embeddings of another
                length or backbone.
        """
        name = head.card.name
        if not re.fullmatch(NAME, name):
            what = f"head {name!r} cannot be published by this name"
            raise ConfigError(
                f"{what}: letters, digits and _.:- only, a letter or digit first", node=self.name
            )
        size = self._size()
        if size not in (None, head.input_size):
            takes = f"head {name!r} takes embeddings of {head.input_size}"
            raise ConfigError(f"{takes}, here they have {size}", node=self.name)
        wanted, given = _origin_of(head), self._origin()
        if wanted and given and wanted != given:
            what = f"head {name!r} takes embeddings of {wanted}, here they are of {given}"
            raise ConfigError(what, node=self.name)
        if name in self.names():
            raise ConfigError(f"there is a head {name!r} already", node=self.name)

    def _size(self) -> int | None:
        """Length of the embeddings; None while it is unknown."""
        if self._embeddings.offered:
            return self._embeddings.offered[0].axes[0].size
        return self._bank.heads[0].input_size if self._bank else None

    def _origin(self) -> Origin | None:
        """The backbone of the embeddings; None while it is unknown."""
        if self._embeddings.offered:
            return self._embeddings.offered[0].origin
        return next(filter(None, map(_origin_of, self._loaded())), None)

    def _remedy(self) -> str:
        """Advice for the error message about embeddings that the heads cannot take."""
        models = {
            head.card.name: model.model_name
            for head in self._loaded()
            if (model := head.card.inference.embedding_model)
        }
        if not models:
            return ""
        belong = ", ".join(f"{head} belongs to {model}" for head, model in models.items())
        return f"; {belong}: name heads of this model, or none (--set {self.name}.heads=[])"

    def remove_head(self, head: str) -> Change:
        """Stop using a head from the next segment on.

        Args:
            head: Name of the head.

        Returns:
            The change, which returns the name.

        Raises:
            NothingToChangeError: The node has no such head.
        """
        self._check_known(head)

        def change() -> str:
            with self._lock:
                self._check_known(head)
                rest = [each for each in self._loaded() if each.card.name != head]
                self._bank = shared_bank(rest) if rest else None
            return head

        return change

    def _check_known(self, name: str) -> None:
        if name not in self.names():
            known = ", ".join(self.names()) or "none"
            raise NothingToChangeError(f"no head {name!r}; heads are: {known}", node=self.name)

    def names(self) -> list[str]:
        """Names of the heads in use."""
        return [head.card.name for head in self._loaded()]

    def _loaded(self) -> tuple[Mlp, ...]:
        return self._bank.heads if self._bank else ()

    def compute(self, windows: NDArray[Any], outputs: dict[str, NDArray[Any]]) -> None:
        bank = self._bank  # once: the control thread may replace it
        predictions = outputs["predictions"]
        if bank is None:
            predictions[:] = Prediction(())
            return
        results = bank(np.ascontiguousarray(windows))
        for row in range(len(windows)):
            predictions[row] = Prediction(
                tuple(
                    Scores(
                        head.card.name,
                        head.card.name,
                        head.card.version,
                        head.labels,
                        result[row],
                        self.params.top_k,
                    )
                    for head, result in zip(bank.heads, results, strict=True)
                )
            )

    def statistics(self) -> dict[str, Any]:
        return {"heads": self.names()}


def _origin_of(head: Mlp) -> Origin | None:
    """The backbone that the head's card names with a hash; None if it names none."""
    model = head.card.inference.embedding_model
    return Origin(model.model_name, model.sha256) if model and model.sha256 else None
