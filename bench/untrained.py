"""Networks with random weights, in the cache: what they cost does not depend on the weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from auricle.errors import ConfigError
from auricle.models.cache import cache_folder

SEED = 0

NOTE = "random weights: the times are those of trained weights, the closeness is not"
"""Note of reports on such networks."""


def maest_30s(
    precision: Literal["fp32", "int8", "fp16"],
    block: int = 6,
    program: bool = False,
    *,
    labelled: bool = False,
) -> Path:
    """Folder of MAEST-30s up to the tokens of `block`, which the first call exports.

    Args:
        precision: Precision of the file.
        block: Last block.
        program: Whether the torch program lies beside it, for torch-tensorrt.
        labelled: Whether it has activations, too, and so all blocks.

    Raises:
        ConfigError: The folder is missing, and torch is not installed.
    """
    more = f"{'-program' if program else ''}{'-labelled' if labelled else ''}"
    folder = _folder(f"untrained-maest-30s-block-{block}-{precision}{more}")

    def make() -> None:
        import torch

        from auricle.models.export.folder import write_model_folder
        from auricle.models.export.options import Export
        from auricle.models.networks.maest import CONFIGS, Maest

        torch.manual_seed(SEED)
        config = CONFIGS["30s"]
        labels = tuple(map(str, range(config.n_classes))) if labelled else ()
        export = Export(folder.name, labels, block, precision=precision, program=program)
        write_model_folder(Maest(config), folder, export)

    return _made(folder, make)


def efficientnet_b0() -> Path:
    """Folder of EfficientNet-B0 as in DiscogsEffNet, which the first call exports.

    Raises:
        ConfigError: The folder is missing, and torch is not installed.
    """
    folder = _folder("untrained-efficientnet-b0")

    def make() -> None:
        import torch

        from auricle.models.export.folder import write_model_folder
        from auricle.models.export.options import Export
        from auricle.models.networks.efficientnet import EfficientNetB0

        torch.manual_seed(SEED)
        export = Export(folder.name, segment_size=128, hop_size=62)
        write_model_folder(EfficientNetB0(), folder, export)

    return _made(folder, make)


def _folder(name: str) -> Path:
    return cache_folder() / "bench" / name


def _made(folder: Path, make: Callable[[], None]) -> Path:
    if not folder.is_dir():
        try:
            make()
        except ImportError as error:
            raise ConfigError(
                f"{error.name} is needed to make {folder.name}: pip install 'auricle[train]', "
                "or name models"
            ) from None
    return folder
