"""Our modules, given the authors' weights, compute what the authors' programs computed.

Every case is a pair NAME.json (configuration, names and shapes of the weights) and NAME.npz
(outputs). `pytest tests/models/convert/test_reference.py --reference-dir DIR` runs all cases below
DIR.
"""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from interlace.graph.boxes import neighbours
from interlace.graph.kernels import pool
from interlace.models.convert import (
    dyreg_from_pytorch,
    rstg_from_pytorch,
    rstg_from_tensorflow,
    tsm_from_pytorch,
)

TOLERANCE = 1e-4  # relative to the largest absolute value of an array


def draw(name, shape):
    seed = zlib.crc32(name.encode())
    return np.random.RandomState(seed).standard_normal(tuple(shape)).astype(np.float32)


def pytorch_value(name, shape):
    leaf, noise = name.rsplit(".", 1)[-1], draw(name, shape)
    if leaf == "running_var":
        return 0.5 + np.abs(noise)
    if leaf == "num_batches_tracked":
        return np.zeros_like(noise)
    if leaf == "offset_alpha":
        return 0.5 + 0.2 * noise
    if leaf == "scale" or (leaf == "weight" and len(shape) == 1):
        return 1 + 0.1 * noise
    if len(shape) >= 2:
        return noise / np.sqrt(np.prod(shape[1:]))
    return 0.1 * noise


def tensorflow_value(name, shape):
    leaf, noise = name.rsplit(".", 1)[-1], draw(name, shape)
    if leaf.startswith("kernel"):
        return noise / np.sqrt(np.prod(shape[:-1]))
    if leaf == "gamma":
        return 1 + 0.1 * noise
    if leaf == "moving_variance":
        return 0.5 + np.abs(noise)
    return 0.1 * noise


def agree(ours, theirs):
    ours = np.asarray(ours)
    assert ours.shape == theirs.shape
    assert np.isfinite(ours).all()
    worst = np.abs(ours - theirs).max() / np.abs(theirs).max()
    assert worst < TOLERANCE, f"off by {worst:.2e} of the largest value"


def cases(folder):
    return sorted(p for p in Path(folder).rglob("*.json") if p.with_suffix(".npz").exists())


def pytest_generate_tests(metafunc):
    if "case" in metafunc.fixturenames:
        paths = cases(metafunc.config.getoption("--reference-dir"))
        metafunc.parametrize("case", paths, ids=[p.stem for p in paths])


@torch.no_grad()
def test_same_as_the_authors(case):
    spec = json.loads(case.read_text())
    config, expected = spec["config"], np.load(case.with_suffix(".npz"))
    if config["kind"] in ("dyreg", "dyreg_residual"):
        check_dyreg(config, spec["tensors"], expected)
    elif config["kind"] == "tsm_r50_dyreg":
        check_tsm(config, spec["tensors"], expected)
    elif config["kind"] != "rstg":
        pytest.skip(f"{config['kind']} is not built yet")
    elif "scales" in config:
        check_tensorflow(config, spec["tensors"], expected)
    else:
        check_pytorch(config, spec["tensors"], expected)


def check_dyreg(config, tensors, expected):
    block = dyreg_from_pytorch(
        {name: pytorch_value(name, shape).astype(np.float32) for name, shape in tensors},
        rounds=config["rounds"],
    )
    features = torch.from_numpy(draw("input", config["input"]))  # (B, T, C, H, W)
    out, trace = block(features, return_trace=True)
    agree(out if config["kind"] == "dyreg" else out.flatten(0, 1), expected["output"])
    agree(trace.kernels.flatten(0, 1), expected["kernels"])
    height, width = config["size"]
    x, y, half_x, half_y = trace.boxes.flatten(0, 1).unbind(-1)
    theirs = (half_y * height, half_x * width, y * height - 0.5, x * width - 0.5)
    agree(torch.stack(theirs, -1)[:, :, None], expected["regions"])


def check_tsm(config, tensors, expected):
    """The released model: logits of 16 frames, and the kernels of the first two at each depth."""
    model = tsm_from_pytorch(
        {name: np.asarray(pytorch_value(name, shape), np.float32) for name, shape in tensors}
    )
    held = sum(value.numel() for value in model.state_dict().values())
    assert held == 28_755_003  # with the statistics of its batch norms
    video = torch.from_numpy(draw("input", config["input"])).unflatten(1, (config["frames"], 3))
    video = video * model.backbone.std + model.backbone.mean  # in their program it is normalised
    logits, traces = model(video, return_trace=True)
    agree(logits, expected["output"])
    assert list(traces) == [f"{block}.conv2" for block in config["blocks"]]
    for block in config["blocks"]:
        kernels = traces[f"{block}.conv2"].kernels[0, :2].unflatten(1, config["nodes"])
        agree(kernels, expected[f"kernels_{block.replace('.', '_block')}"])


def check_pytorch(config, tensors, expected):
    graph = rstg_from_pytorch(
        {name: pytorch_value(name, shape).astype(np.float32) for name, shape in tensors},
        rounds=config["rounds"],
    )
    nodes = torch.from_numpy(draw("input", config["input"])).transpose(2, 3)  # (B, T, N, C)
    out, _, _ = graph(nodes)
    agree(out.transpose(2, 3), expected["output"])


def check_tensorflow(config, tensors, expected):
    weights = {name: tensorflow_value(name, shape).astype(np.float32) for name, shape in tensors}
    build = {key: config[key] for key in ("scales", "rounds", "frame_size_px")}
    block = rstg_from_tensorflow(weights, **build)
    features = torch.from_numpy(draw("input", config["input"])).permute(0, 1, 4, 2, 3)

    regions, _ = block.regions(features)
    agree(pool(features, regions.pool), expected["initial_nodes"])
    assert (neighbours(regions.boxes[0, 0]).numpy() == expected["adjacency"]).all()
    if block.positions is not None:
        agree(block.positions(regions)[0, 0], expected["position_maps"])

    to_map, trace = block(features, return_trace=True)
    agree(to_map.permute(0, 1, 3, 4, 2), expected["map"])
    agree(block.project_back(trace.nodes).transpose(0, 1), expected["nodes"])
    to_vector = rstg_from_tensorflow(weights, **build, readout="mean-vector")
    agree(to_vector(features), expected["vector"])
