"""The streams of a service that come from files: the graph's list, and what commands have added."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from auricle.errors import AuricleError, ConfigError, describe_invalid
from auricle.service.stream_list import StreamSpec
from auricle.service.streams import Streams
from auricle.service.template import StreamTemplate

log = logging.getLogger(__name__)


class Stations:
    """Adds the streams that files name, and keeps the files and the streams alike.

    Everything that changes is changed under the lock of the streams.

    Args:
        template: Template of the streams, with their list.
        streams: The streams of the service.
        kept: File in which streams that commands add are kept; None if they are not.
    """

    def __init__(self, template: StreamTemplate, streams: Streams, kept: Path | None) -> None:
        self._template = template
        self._streams = streams
        self._kept = kept
        self._listed: dict[str, StreamSpec] = {}

    def add_all(self) -> None:
        """Add the streams to start with; of files, those that can be built.

        Raises:
            ConfigError: A stream cannot be built, or none of a text file, or a file is unreadable.
        """
        kept = self._read_kept()
        if not self._template.has_list_file:
            for spec in self._template.specs:
                self._streams.add(spec)
        else:
            refused = self._update()["refused"]
            if refused and not self._listed:
                raise ConfigError(refused[0])
            for each in refused:
                log.error("left out: %s", each)
        for name, spec in kept.items():
            try:
                self._streams.add(spec, by_command=True)
            except ConfigError as error:
                log.error("stream %s, kept in %s, is left out: %s", name, self._kept, error)

    def reload(self) -> dict[str, list[str]]:
        """Read the list of streams again: start those that are new, stop those that are gone.

        Returns:
            The names of the streams `added`, `removed` and `replaced`, and why lines were
            `refused`. All others go on untouched.

        Raises:
            ConfigError: The graph has no list in a file of its own, or that cannot be read.
        """
        if not self._template.has_list_file:
            raise ConfigError("the streams of this graph are not listed in a file of their own")
        return self._update()

    def _update(self) -> dict[str, list[str]]:
        changes: dict[str, list[str]] = {
            "added": [], "removed": [], "replaced": [], "refused": [],
        }  # fmt: skip
        with self._streams.lock:
            wanted = {spec.name: spec for spec in self._template.specs if spec is not None}
            present = {stream.name for stream in self._streams.all if not stream.removed}
            for name in self._listed.keys() - wanted.keys():
                del self._listed[name]
                if name in present:
                    changes["removed"].append(self._streams.remove(name))
            for name, spec in wanted.items():
                if self._listed.get(name) == spec and name in present:
                    continue
                replaces = name in self._listed and name in present
                try:
                    if replaces:
                        self._streams.replace(name, spec)
                    else:
                        self._streams.add(spec)
                except ConfigError as error:
                    changes["refused"].append(error.message)
                else:
                    self._listed[name] = spec
                    changes["replaced" if replaces else "added"].append(name)
        return changes

    def keep(self, spec: StreamSpec) -> None:
        """Keep a stream that a command has added for the next start, where that was asked for.

        Raises:
            ConfigError: The file cannot be written.
        """
        if self._kept is not None:
            with self._streams.lock:
                self._write_kept({**self._read_kept(), spec.name: spec})

    def forget(self, name: str) -> None:
        """No longer keep a stream that a command has removed.

        Raises:
            ConfigError: The file cannot be written.
        """
        if self._kept is not None:
            with self._streams.lock:
                kept = self._read_kept()
                if kept.pop(name, None) is not None:
                    self._write_kept(kept)

    def _read_kept(self) -> dict[str, StreamSpec]:
        if self._kept is None or not self._kept.exists():
            return {}
        try:
            content: Any = json.loads(self._kept.read_text(encoding="utf-8"))
            specs = [StreamSpec.model_validate(each) for each in content]
        except ValidationError as error:
            raise ConfigError(f"{self._kept}: {describe_invalid(error)}") from None
        except (OSError, ValueError, TypeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not a JSON list of streams"
            raise ConfigError(f"{self._kept}: {reason}") from None
        return {spec.name: spec for spec in specs}

    def _write_kept(self, kept: dict[str, StreamSpec]) -> None:
        """Replace the file; only its owner may read it, since addresses may have passwords."""
        assert self._kept is not None
        content = [each.model_dump(mode="json", exclude_defaults=True) for each in kept.values()]
        part = self._kept.with_name(f".{self._kept.name}.part")
        try:
            with os.fdopen(
                os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w"
            ) as file:
                json.dump(content, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._kept)
        except OSError as error:
            raise ConfigError(f"{self._kept}: {error.strerror}; the change is not kept") from None


def describe_changes(changes: dict[str, list[str]]) -> str:
    """What `Stations.reload` has changed, as one line."""
    counts = [f"{len(names)} {what}" for what, names in changes.items() if names]
    return ", ".join(counts) or "nothing has changed"


def reload_and_log(stations: Stations) -> None:
    """Read the list again, and log what that has changed, or why it could not be read."""
    try:
        changes = stations.reload()
    except AuricleError as error:
        log.error("the list of streams was not read again: %s", error)
        return
    for each in changes["refused"]:
        log.error("left out: %s", each)
    log.info("the list of streams was read again: %s", describe_changes(changes))
