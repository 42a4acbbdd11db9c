"""What a checkpoint holds, told by its names: a ResNet, shifts, graphs, a head."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from interlace.models.convert.tensors import Arrays

CONSTANTS = ("ph_buf", "pw_buf", "arange_h_buf", "arange_w_buf", "pos_emb_buf")

# Blocks of each stage and whether they are bottlenecks -> layers
DEPTHS = {
    ((2, 2, 2, 2), False): 18,
    ((3, 4, 6, 3), False): 34,
    ((3, 4, 6, 3), True): 50,
    ((3, 4, 23, 3), True): 101,
    ((3, 8, 36, 3), True): 152,
}

KNOWN = (
    "known are the released files of DyReg-GNN and of TSM on a ResNet, and ResNets of torchvision "
    "and timm; for another network of timm, `interlace train --model timm/NAME --model.backbone "
    "FILE` starts from its weights"
)

# What names of weights say of networks that cannot be converted
_OTHERS = (
    (r"^(module\.)?base_model\..*\.nl\.", "a TSM with non-local blocks"),
    (r"^(module\.)?base_model\.layer\d\.\d+\.net\.", "a TSM that shifts in front of whole blocks"),
    (r"^(module\.)?base_model\.features\.", "a TSM on MobileNetV2 or BNInception"),
    (r"^(module\.)?backbone\..*\.conv\.weight$", "a model of MMAction2"),
    (r"^(module\.)?conv1\.0\.weight$", "a ResNet with a stem of several convolutions"),
    (r"^(module\.)?layer\d\.\d+\.se\.", "a ResNet with squeeze and excitation"),
    (r"(^|\.)blocks\.\d+\.attn\.", "a vision transformer"),
)


@dataclass
class Parts:
    """The tensors of a checkpoint by where they go, under the names they have there.

    Attributes:
        trunk: of the ResNet, by torchvision's names.
        shifted: convolutions of it whose input is shifted in time.
        graphs: by the convolution they follow, then by the authors' names.
        head: weight and bias.
        constants: names of buffers that hold no weights and are not needed.
        unknown: names that these models have no place for.
    """

    trunk: dict[str, Any] = field(default_factory=dict)
    shifted: list[str] = field(default_factory=list)
    graphs: dict[str, dict[str, Any]] = field(default_factory=dict)
    head: dict[str, Any] = field(default_factory=dict)
    constants: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @property
    def depth(self) -> int:
        """Layers of the ResNet, the deepest of which all blocks are there."""
        blocks = {tuple(name.split(".")[:2]) for name in self.trunk if name.startswith("layer")}
        bottlenecks = any(".conv3." in name for name in self.trunk)
        found = [
            depth
            for (stages, bottleneck), depth in DEPTHS.items()
            if bottleneck == bottlenecks
            and all((f"layer{s}", str(n - 1)) in blocks for s, n in enumerate(stages, 1))
        ]
        if not found:
            raise ValueError(
                f"{len(blocks)} residual blocks are of no ResNet that is known, of "
                f"{', '.join(map(str, DEPTHS.values()))} layers"
            )
        return max(found)

    def lines(self) -> list[str]:
        """What goes where, for people."""
        said = [f"ResNet-{self.depth}: {len(self.trunk)} tensors"]
        if self.shifted:
            said.append(f"temporal shifts: {len(self.shifted)}, no tensors")
        said += [f"graph after {at}: {len(own)} tensors" for at, own in self.graphs.items()]
        said.append(f"head: {len(self.head)} tensors")
        if self.constants:
            said.append(f"constants, not weights: {', '.join(self.constants)}")
        if self.unknown:
            said.append(f"not mapped: {', '.join(self.unknown)}")
        return said


def sort_tensors(tensors: Arrays) -> Parts:
    """Tells apart what a checkpoint holds, by names of the DyReg-GNN and the TSM program, of
    torchvision or of timm; with and without `module.` and DyReg-GNN's level in conv2.

    Raises:
        ValueError: if these are the weights of another kind of network.
    """
    for pattern, kind in _OTHERS:
        if found := [name for name in tensors if re.search(pattern, name)]:
            raise ValueError(f"this looks like {kind} ({found[0]}), which is unknown here; {KNOWN}")
    parts = Parts()
    for name, value in tensors.items():
        if name.endswith(CONSTANTS):
            parts.constants.append(name)
            continue
        where, key = _place(parts, name)
        if where is None or key in where:
            parts.unknown.append(name)
        else:
            where[key] = value
    if not parts.trunk:
        some = ", ".join(f"{name} {tuple(tensors[name].shape)}" for name in list(tensors)[:3])
        count = f"{len(tensors)} tensor{'s' * (len(tensors) > 1)}"
        raise ValueError(f"this is no ResNet: it holds {count}, such as {some}; {KNOWN}")
    return parts


def _place(parts: Parts, name: str) -> tuple[dict[str, Any] | None, str]:
    """Which part a tensor is of, None for none, and its name there."""
    name = name.removeprefix("module.")
    if found := re.fullmatch(r"(?:new_fc|(?:base_model\.)?fc)\.(weight|bias)", name):
        return parts.head, found[1]
    name = name.removeprefix("base_model.")
    if found := re.fullmatch(
        r"(layer\d\..+\.conv2)\.(?:1\.)?((?:dynamic_graph|norm_dict)\..+)", name
    ):
        return parts.graphs.setdefault(found[1], {}), found[2]
    if not re.fullmatch(r"(?:conv1|bn1|layer\d)\..+", name):
        return None, name
    if found := re.fullmatch(r"(.+\.conv1)\.net(\..+)", name):
        parts.shifted.append(found[1])
        return parts.trunk, found[1] + found[2]
    return parts.trunk, re.sub(r"\.conv2\.(?:0\.)?block\.", ".conv2.", name)
