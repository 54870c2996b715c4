"""Values of a stream as lines of a CSV file."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from pydantic import Field

from auricle.engine.node import NodeParams
from auricle.engine.port import InputPort
from auricle.engine.reader import Reader
from auricle.engine.sink import Sink
from auricle.errors import ConfigError


class CsvLogParams(NodeParams):
    """Parameters of `CsvLog`."""

    path: Path = Field(description="The file; relative to the graph file.")
    digits: int = Field(3, ge=0, le=9, description="Digits behind the point.")


class CsvLog(Sink[CsvLogParams]):
    """Writes the time and the values of each token as a line of a CSV file."""

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        self.add_input(InputPort("values", "Values of any kind.", np.dtype(np.float32), axes=None))
        self._file: TextIO | None = None

    def start(self) -> None:
        try:
            self._file = self.params.path.open("w", newline="", encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"path={str(self.params.path)!r}: {error.strerror}") from error
        self._writer = csv.writer(self._file)

    def take(self, port: InputPort, reader: Reader, count: int) -> None:
        for row, token in enumerate(reader.view(count)):
            seconds, _ = reader.stream.seconds(reader.position + row)
            numbers = [float(seconds), *token.ravel().tolist()]
            self._writer.writerow(f"{each:.{self.params.digits}f}" for each in numbers)

    def stop(self) -> None:
        if self._file is not None:
            self._file.close()
