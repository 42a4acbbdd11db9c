"""insert(model, {"layer3.4": block}): a graph at named modules of any 2D or 3D network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, overload

from torch import Tensor, nn

from interlace.models.classifier import VideoClassifier
from interlace.models.insertion.interlaced import Insertion, Interlaced
from interlace.models.insertion.layout import Layout, find_layout
from interlace.models.insertion.probe import Probed, probe, sees_clips
from interlace.registry import nearest

Part = nn.Module | Callable[[int], nn.Module]
Parts = Mapping[str, Part] | None


@overload
def insert(  # type: ignore[overload-overlap]
    model: VideoClassifier,
    after: Parts = ...,
    *,
    before: Parts = ...,
    clips: bool | None = ...,
    example: Tensor | None = ...,
) -> VideoClassifier: ...


@overload
def insert(
    model: nn.Module,
    after: Parts = ...,
    *,
    before: Parts = ...,
    clips: bool | None = ...,
    example: Tensor | None = ...,
) -> Interlaced: ...


def insert(
    model: nn.Module,
    after: Parts = None,
    *,
    before: Parts = None,
    clips: bool | None = None,
    example: Tensor | None = None,
) -> nn.Module:
    """Puts graphs into a network, at one depth or several.

    DyReg-GNN, section 4.1: the released model has a graph in each of the last three stages. A
    fresh graph adds nothing, so a pretrained network starts as good as it was.

    Args:
        model: any network over frames (M, C, H, W) or clips (B, C, T, H, W): of torchvision, of
            timm, your own. It is changed in place by forward hooks only; `Interlaced.remove` takes
            them out again. Or what `insert` returned before, to put more into it. Or what
            `create_model` returned: graphs go into the network that sees its frames.
        after: module name -> what its output goes through: a block with the face of `GraphBlock`,
            or a builder that is called with the channels found there. Maps have their channels
            first or last; tokens become a grid, and class tokens are left alone.
            Behind the last block of a network that reads its class token only, a graph is not
            heard: put it earlier.
        before: the same for what goes into a module, its first argument.
        clips: whether the network takes clips (a 3D network) or frames; None looks for 3D
            convolutions.
        example: video (B, T, C, H, W) to run the network on once, to see shapes; None tries zeros.

    Returns:
        The network over video (B, T, C, H, W); of a `VideoClassifier` that same classifier.

    Raises:
        ValueError: for a name that the network does not have, for a module that gives no map or
            tokens or runs more than once, for a block of other channels.

    Example:
        >>> import functools, torch, torchvision, interlace
        >>> network = torchvision.models.resnet18(num_classes=5).eval()
        >>> graph = functools.partial(interlace.DyReg, nodes=4, width=32)
        >>> model = interlace.insert(network, {"layer2": graph, "layer3.1": graph})
        >>> video = torch.randn(1, 3, 3, 64, 64)
        >>> bool((model(video)[0] == network(video[0])).all())  # fresh graphs change nothing
        True
        >>> logits, traces = model(video, return_trace=True)
        >>> logits.shape, traces["layer3.1"].boxes.shape
        (torch.Size([1, 3, 5]), torch.Size([1, 3, 4, 4]))
        >>> model.remove() is network
        True
    """
    wanted = [(Insertion(name, ahead=False), part) for name, part in (after or {}).items()]
    wanted += [(Insertion(name, ahead=True), part) for name, part in (before or {}).items()]
    if not wanted:
        raise ValueError('say where to put what, e.g. {"layer3": block}')
    for place, part in wanted:
        if not callable(part):
            raise ValueError(
                f"at {place.key!r} there must be a graph, or a function from channels to one, got "
                f"{part!r}"
            )
    owner = _owner(model, ", ".join(place.key for place, _ in wanted))
    network: nn.Module = owner.network if owner else model
    if owner is not None and clips not in (None, owner.clips):
        raise ValueError(f"this network was given clips={owner.clips} before")
    if clips is None:
        clips = owner.clips if owner else sees_clips(network)
    probed = probe(network, example, clips=clips)
    blocks = []
    for place, part in wanted:
        if owner is not None and place.key in owner.places:
            raise ValueError(f"there is something at {place.key!r} already: remove it first")
        features = _features(probed, place)
        place.layout = _layout(place, features, probed, part)
        blocks.append(_built(part, place, features, network))
    owner = owner or Interlaced(network, clips=clips, out_channels=probed.out_channels)
    for (place, _), block in zip(wanted, blocks, strict=True):
        owner.put(place, block)
    return model if isinstance(model, VideoClassifier) else owner


def over_video(network: nn.Module) -> Interlaced:
    """A network over video (B, T, C, H, W) with nothing in it yet.

    Args:
        network: over frames or clips, see `insert`; or what `insert` returned, which comes back.
    """
    if isinstance(network, Interlaced):
        return network
    clips, channels = sees_clips(network), getattr(network, "out_channels", None)
    if not isinstance(channels, int):
        channels = probe(network, None, clips=clips).out_channels
    return Interlaced(network, clips=clips, out_channels=channels)


def list_places(
    model: nn.Module, *, clips: bool | None = None, example: Tensor | None = None
) -> dict[str, int]:
    """Names of all modules of a network that a graph can be put after, with their channels.

    Example:
        >>> import torchvision
        >>> list_places(torchvision.models.resnet18())["layer3.1"]
        256
    """
    owner = _owner(model, "any place")
    network: nn.Module = owner.network if owner else model
    if clips is None:
        clips = owner.clips if owner else sees_clips(network)
    return _possible(probe(network, example, clips=clips))


def _owner(model: nn.Module, places: str) -> Interlaced | None:
    """What holds the graphs of a model; None for a network that has none yet."""
    if not isinstance(model, VideoClassifier):
        return model if isinstance(model, Interlaced) else None
    if not isinstance(model.body, Interlaced):
        raise ValueError(
            f"no graph can be put at {places}: in this model a {type(model.body).__name__} reads "
            f"the features of a {type(model.backbone).__name__}, and only a network that sees the "
            "frames by itself carries the state of graphs in it, such as that of tsm_r18; put "
            "graphs into a network of your own, then VideoClassifier(nn.Identity(), "
            "insert(network, ...), num_classes)"
        )
    return model.body


def _features(probed: Probed, place: Insertion) -> Any:
    """What the named module took or gave in the probe."""
    name, seen = place.name, probed.seen
    if name not in seen:
        possible = _possible(probed)
        near = nearest(name, possible)
        hint = f"did you mean {near!r}? " if near else ""
        raise ValueError(f"the network has no module {name!r}; {hint}possible: {_some(possible)}")
    calls = seen[name]
    if len(calls) != 1:
        times = "never" if not calls else f"{len(calls)} times"
        raise ValueError(
            f"{name} runs {times} in a forward pass, a graph needs a module that runs once; "
            f"possible: {_some(_possible(probed))}"
        )
    took, gave = calls[0]
    return took if place.ahead else gave


def _layout(place: Insertion, features: Any, probed: Probed, part: Part) -> Layout:
    channels = getattr(part, "channels", None)
    wanted = channels if isinstance(channels, int) else None
    try:
        layout = find_layout(features, probed.size, clips=probed.clips, channels=wanted)
    except ValueError as error:
        text = str(error).replace("gives", "takes", 1) if place.ahead else str(error)
        raise ValueError(f"no graph can be put at {place.key}: it {text}") from None
    found = layout.channels(features)
    if wanted is not None and wanted != found:
        raise ValueError(
            f"the block for {place.key} was built for {wanted} channels, there are {found}; give "
            "a builder instead, e.g. functools.partial(interlace.DyReg, nodes=9)"
        )
    return layout


def _built(part: Part, place: Insertion, features: Tensor, network: nn.Module) -> nn.Module:
    if isinstance(part, nn.Module):
        return part
    block = part(place.layout.channels(features))
    if not isinstance(block, nn.Module):
        raise ValueError(f"the builder for {place.key} gave a {type(block).__name__}, no module")
    return block.to(features.device, features.dtype).train(network.training)


def _possible(probed: Probed) -> dict[str, int]:
    """Where a graph can be put after -> channels."""
    return {name: layout.channels(out) for name, layout, out in probed.maps()}


def _some(names: Mapping[str, int], most: int = 30) -> str:
    """The names nearest to the root, which come first."""
    chosen = sorted(names, key=lambda name: name.count("."))[:most]
    more = len(names) - len(chosen)
    return (", ".join(chosen) or "none") + (f", and {more} deeper ones" if more else "")
