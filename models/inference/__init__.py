"""Running models: providers, sessions, and what overlapping segments and many streams share.

Start with `open`. It tries the providers of a `Request` in turn and returns an `Inference`, which
runs segments on the caller's thread, or a `Seat` with the owner of an accelerator's session, which
runs the segments of all streams together. `Levels` decide which patches a transformer looks at.
"""

from auricle.models.inference.levels import Levels
from auricle.models.inference.opening import Request, open
from auricle.models.inference.owner import PendingSegment, Seat
from auricle.models.inference.whole import Inference

__all__ = ["Inference", "Levels", "PendingSegment", "Request", "Seat", "open"]
