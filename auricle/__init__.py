"""Auricle listens to audio streams, and reports live what it hears.

Programs use `FileTagger` to tag files, `Subscriber`, `request` and `PcmSender` to communicate with
a running engine, and `Service` with `load_graph` to run a graph. All errors are `AuricleError`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auricle.errors import (
        AuricleError,
        ConfigError,
        GraphError,
        InputError,
        ModelError,
        NodeError,
        ProviderError,
        WireError,
    )
    from auricle.nodes.sinks.collector import Segment
    from auricle.service.overrides import load_graph
    from auricle.service.service import Service
    from auricle.tagging import FileTagger
    from auricle.wire.client import Subscriber, request
    from auricle.wire.connection import Keys
    from auricle.wire.messages import Message
    from auricle.wire.pcm import PcmSender

__version__ = "0.1.0"

# From 1.29 on, ONNX Runtime sends telemetry unless this is set before it is imported. A value that
# the user has set is kept.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = [
    "AuricleError",
    "ConfigError",
    "FileTagger",
    "GraphError",
    "InputError",
    "Keys",
    "Message",
    "ModelError",
    "NodeError",
    "PcmSender",
    "ProviderError",
    "Segment",
    "Service",
    "Subscriber",
    "WireError",
    "__version__",
    "load_graph",
    "request",
]

_PLACES = {
    "FileTagger": "auricle.tagging",
    "Keys": "auricle.wire.connection",
    "Message": "auricle.wire.messages",
    "PcmSender": "auricle.wire.pcm",
    "Segment": "auricle.nodes.sinks.collector",
    "Service": "auricle.service.service",
    "Subscriber": "auricle.wire.client",
    "load_graph": "auricle.service.overrides",
    "request": "auricle.wire.client",
}
"""Modules of the public names; all names that are not listed are in `auricle.errors`."""


def __getattr__(name: str) -> Any:
    # Imported on demand, since the command line often needs the version only.
    if name in __all__:
        import importlib

        return getattr(importlib.import_module(_PLACES.get(name, "auricle.errors")), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
