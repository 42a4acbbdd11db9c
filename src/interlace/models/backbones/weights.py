"""Start from weights that were trained before: a backbone's, by name or from a file.

The names of weights in a network are the same before and after a graph was put in: torchvision's or
timm's for their networks. Weights of a 2D network fill the same network inflated in time (I3D,
Carreira and Zisserman 2017).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from interlace.graph.regions.content import ContentRegions
from interlace.graph.regions.objects import ObjectRegions
from interlace.models.classifier import VideoClassifier
from interlace.models.convert.checkpoint import read_checkpoint
from interlace.models.weights import read_card

IMAGENET = "imagenet"

_LOG = logging.getLogger(__name__)
_HEADS = ("fc.", "head.", "classifier.", "new_fc.")


@dataclass(frozen=True)
class Loaded:
    """What became of the tensors of a file.

    Attributes:
        source: the file, or the name of the weights.
        used: names of the backbone's tensors that were filled.
        inflated: those of them whose weights got an extent in time.
        head: left out, since they are of a classifier for other classes.
        unused: all others that the backbone has no place for.
    """

    source: str
    used: list[str] = field(default_factory=list)
    inflated: list[str] = field(default_factory=list)
    head: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The same for people."""
        said = f"backbone: {len(self.used)} tensors from {self.source}"
        said += f", {len(self.inflated)} of them inflated in time" if self.inflated else ""
        lines = [said]
        if self.head:
            lines.append(f"left out, of the head: {', '.join(self.head)}")
        if self.unused:
            some = ", ".join(self.unused[:8]) + (", ..." if len(self.unused) > 8 else "")
            lines.append(f"not used ({len(self.unused)}): {some}")
        return lines


def load_backbone(model: VideoClassifier, source: str | Path) -> Loaded:
    """Fills the network of a model that sees the frames; its graphs and its head stay.

    Args:
        model: changed in place, e.g. `create_model("tsm_r50_dyreg")`.
        source: "imagenet", fetched once by torchvision or timm; or a file: torchvision's or timm's
            .pth, safetensors, a checkpoint that holds such weights, or weights of any model of
            ours with the same backbone. Nothing in a file is executed.

    Returns:
        What was used and what was not, which is logged too.

    Raises:
        ValueError: if nobody gives such weights for this network, or they are of another one.
        FileNotFoundError: if there is no file.
        OSError: if the weights cannot be fetched.
    """
    network, name = model.network, str(source)
    if name == IMAGENET:
        arch = _arch(network)
        tensors, name = _imagenet(arch), f"{arch} on ImageNet"
    else:
        tensors = read_tensors(Path(source))
        if name.endswith(".safetensors") and (made_for := read_card(source).get("model")):
            name = f"{name}, weights of {made_for},"
    loaded = fill(network, tensors, name)
    if maps := _fill_maps(model, tensors):
        _LOG.info(f"maps of content: {', '.join(maps)}, too")
    return loaded


def _fill_maps(model: VideoClassifier, tensors: Mapping[str, Tensor]) -> list[str]:
    """Fills the maps that graphs read off these features, where the file has such; their names."""
    filled = []
    for name, module in model.named_modules():
        if not isinstance(module, ContentRegions | ObjectRegions):
            continue
        own = {f"{name}.maps.{key}": value for key, value in module.maps.state_dict().items()}
        if all(key in tensors and tensors[key].shape == own[key].shape for key in own):
            module.maps.load_state_dict({k.rpartition(".")[2]: tensors[k] for k in own})
            filled.append(f"{name}.maps")
    return filled


# --- where weights come from ----------------------------------------------------------------------


def _arch(network: nn.Module) -> str:
    """torchvision's name of a network, or timm's behind `timm/`."""
    timm = getattr(network, "pretrained_cfg", None)
    if isinstance(timm, Mapping) and timm.get("architecture"):
        tag = timm.get("tag")
        return f"timm/{timm['architecture']}" + (f".{tag}" if tag else "")
    arch = getattr(network, "arch", None)
    if not isinstance(arch, str):
        raise ValueError(
            f"nobody gives ImageNet weights for this {type(network).__name__}: give a file"
        )
    return arch


def _imagenet(arch: str) -> dict[str, Tensor]:
    if not arch.startswith("timm/"):
        from torchvision.models import get_model_weights

        return fetch(get_model_weights(arch).IMAGENET1K_V1, f"ImageNet weights of {arch}")
    import timm

    with _or_a_file(f"ImageNet weights of {arch}", f"https://huggingface.co/{arch}"):
        return timm.create_model(arch.removeprefix("timm/"), pretrained=True).state_dict()


def fetch(weights: Any, what: str) -> dict[str, Tensor]:
    """The tensors of an entry of torchvision's weights, fetched once.

    Raises:
        OSError: if they cannot be fetched, with what to do.
    """
    with _or_a_file(what, weights.url):
        return weights.get_state_dict(progress=False, check_hash=True)


@contextmanager
def _or_a_file(what: str, place: str) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise OSError(
            f"cannot fetch the {what} ({error}); where there is a network, download {place} and "
            "give the path of the file instead"
        ) from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, by their names there."""
    if not path.is_file():
        raise FileNotFoundError(f'there are no weights at {path}: give a file, or "{IMAGENET}"')
    return read_checkpoint(path).tensors


# --- into the network -----------------------------------------------------------------------------


def fill(network: nn.Module, tensors: Mapping[str, Tensor], source: str) -> Loaded:
    """Fills a network, all of it or, if something is wrong, nothing; logs what was used."""
    own = network.state_dict()
    prefix = _prefix(own, tensors)
    found = {key.removeprefix(prefix): key for key in tensors if key.startswith(prefix)}
    optional = {key for key in own if key.endswith("num_batches_tracked")}  # old files lack them
    if lacks := sorted(own.keys() - found.keys() - optional):
        raise ValueError(
            f"{source} lacks {len(lacks)} of the {len(own)} tensors of this backbone, such as "
            f"{', '.join(lacks[:3])}; it holds {', '.join(list(tensors)[:3])}, ...: take weights "
            "of the same network"
        )
    values, inflated = {}, []
    for key in own.keys() & found.keys():
        value = tensors[found[key]]
        if own[key].dim() == 5 and value.dim() == 4:
            time = own[key].shape[2]
            value = (value[:, :, None] / time).expand(-1, -1, time, -1, -1)
            inflated.append(key)
        if value.shape != own[key].shape:
            raise ValueError(
                f"{key} is {tuple(tensors[found[key]].shape)} in {source}, "
                f"{tuple(own[key].shape)} in this backbone: take weights of the same network"
            )
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise ValueError(f"{key} is not finite in {source}: take another copy")
        values[key] = value
    network.load_state_dict({**own, **values})
    used = {found[key] for key in values}
    rest = sorted(key for key in tensors if key not in used)
    head = [key for key in rest if key.removeprefix(prefix).startswith(_HEADS)]
    unused = [key for key in rest if key not in head]
    loaded = Loaded(source, sorted(values), sorted(inflated), head, unused)
    for line in loaded.lines():
        _LOG.info(line)
    return loaded


def _prefix(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> str:
    """What stands before the backbone's names in a file, such as `module.` or `body.network.`."""
    first = next(iter(own))
    found = {key.removesuffix(first) for key in tensors if f".{key}".endswith(f".{first}")}
    fits = {before: sum(before + key in tensors for key in own) for before in found}
    return min(fits, key=lambda before: (-fits[before], len(before)), default="")
