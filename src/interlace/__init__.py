"""Graphs that are recurrent in space and time, for video.

The public names below are resolved when first used: `import interlace` loads nothing else, and
each name loads only what it needs.

Example:
    >>> import interlace
    >>> interlace.__version__
    '0.1.0'
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interlace.data.digits.syncmnist import MultiSyncMNIST, SyncMNIST
    from interlace.graph.block import GraphBlock
    from interlace.graph.dyreg import DyReg
    from interlace.graph.rstg import RSTG
    from interlace.models.classifier import VideoClassifier
    from interlace.models.insertion.insert import insert
    from interlace.models.registry import create_model, list_models
    from interlace.predict.predictor import Predictor

__version__ = "0.1.0"

__all__ = [
    "RSTG",
    "DyReg",
    "GraphBlock",
    "MultiSyncMNIST",
    "Predictor",
    "SyncMNIST",
    "VideoClassifier",
    "__version__",
    "create_model",
    "insert",
    "list_models",
]

_HOME = {
    "RSTG": "interlace.graph.rstg",
    "DyReg": "interlace.graph.dyreg",
    "GraphBlock": "interlace.graph.block",
    "SyncMNIST": "interlace.data.digits.syncmnist",
    "MultiSyncMNIST": "interlace.data.digits.syncmnist",
    "VideoClassifier": "interlace.models.classifier",
    "Predictor": "interlace.predict.predictor",
    "insert": "interlace.models.insertion.insert",
    "create_model": "interlace.models.registry",
    "list_models": "interlace.models.registry",
}


def __getattr__(name: str) -> object:
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
        globals()[name] = value  # found directly from now on
        return value

    message = f"module 'interlace' has no attribute {name!r}"
    if not name.startswith("_"):
        from interlace.registry import nearest

        near = nearest(name, __all__)
        message += f"; the nearest name is {near!r}" if near else f"; it has {', '.join(_HOME)}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
