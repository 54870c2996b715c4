"""Which patches were looked at is said of everything that depends on them."""

from __future__ import annotations

from pathlib import Path

from auricle.wire.client import Subscriber
from auricle.wire.messages import Array, Computed, Message, Prediction
from tests.service.running import REALTIME, make_service, request
from tests.tiny import make_transformer

SMOOTHED = """
stream: template
nodes:
  - {id: input, class: FileInput, params: {path: long.wav}}
  - {id: mel, class: MelSpectrogram}
  - {id: backbone, class: Backbone, params: {model: PATCHES}}
  - {id: smooth, class: Aggregator}
  - {id: publish, class: Publisher}
edges:
  - input -> mel -> backbone.predictions -> smooth.predictions -> publish.predictions
  - backbone.embeddings -> publish.arrays
  - mel -> publish.arrays
wire: {publish: "tcp://127.0.0.1:*", arrays: "tcp://127.0.0.1:*", control: "tcp://127.0.0.1:*"}
streams: []
"""


def test_what_is_published_says_which_patches_were_looked_at(folder: Path, tmp_path: Path) -> None:
    """Of predictions that are smoothed and of embeddings alike, before and after a change.

    Of mel frames nothing.
    """
    path = tmp_path / "smoothed.yaml"
    path.write_text(SMOOTHED.replace("PATCHES", str(make_transformer(tmp_path / "patches"))))
    said: dict[str, list[tuple[int, str | None]]] = {"tags": [], "embeddings": [], "mel": []}

    def note(message: Message | None) -> None:
        assert message is not None
        if isinstance(message, Prediction | Array):
            assert isinstance(message, Computed)
            name = message.head if isinstance(message, Prediction) else message.name
            said[name].append((message.index, message.patchout))

    with make_service(path) as service:
        at = service.server.addresses
        with (
            Subscriber(at["publish"], ["a/prediction/tags", "_engine/"]) as tags,
            Subscriber(at["arrays"], ["a/", "_engine/"]) as arrays,
        ):
            assert all(each.receive(10) for each in (tags, arrays)), "the heartbeat"
            sound = str(folder / "long.wav")
            request(at["control"], "add-stream", stream="a", input=sound, values=REALTIME)
            while len(said["tags"]) < 3:
                note(tags.receive(20))
            request(at["control"], "patchout", patchout="least", stream="a")
            while said["tags"][-1][1] == "full":
                note(tags.receive(20))
            while not said["embeddings"] or said["embeddings"][-1][0] < said["tags"][-1][0]:
                note(arrays.receive(20))
    levels = [level for _, level in said["tags"]]
    assert levels == ["full"] * (len(levels) - 1) + ["least"]
    assert said["embeddings"] == said["tags"]
    assert {level for _, level in said["mel"]} == {None}
