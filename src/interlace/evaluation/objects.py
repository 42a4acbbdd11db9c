"""How well regions sit on the objects of real videos, where somebody marked these."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from interlace.data.clips.clip_list import ClipList
from interlace.data.labels.something_else import Objects
from interlace.data.video.read import video_info
from interlace.evaluation.region_metrics import RegionMeter, RegionMetrics
from interlace.predict.predictor import Predictor


def measure_regions(
    predictor: Predictor, clips: ClipList, objects: Mapping[str, Objects]
) -> dict[str, RegionMetrics]:
    """DyReg-GNN, appendix F.3, on Something-Else, for each graph of a model.

    Args:
        predictor: of the model; regions are those of one view.
        clips: to look at; those without marked objects are left out, and nodes that are silent.
        objects: of each video, by the name of its file without suffix, see `read_objects`.

    Returns:
        Name of the graph -> distances as fractions of the whole frame, and more.

    Raises:
        ValueError: no video has marked objects, or the model has no graph.
    """
    if any(item.span is not None for item in clips.items):
        raise ValueError(
            f"marked objects are of whole videos, and clips of {clips.root} are stretches of them: "
            "leave out the boxes, or the columns that say the stretches"
        )
    videos = [clips.path(index) for index in range(len(clips))]
    marked = {video: objects[video.stem] for video in videos if video.stem in objects}
    if not marked:
        raise ValueError(
            f"none of the {len(clips):,} videos of {clips.root} has marked objects: names of "
            "videos must be those of the file of boxes"
        )
    meters: dict[str, RegionMeter] = {}
    for video, known in marked.items():
        info = video_info(video)
        prediction, _ = predictor.look(video)
        there = known.boxes(torch.tensor(prediction.frames), info.height, info.width)
        for name, regions in prediction.boxes.items():
            meter, mass = meters.setdefault(name, RegionMeter()), prediction.mass[name]
            meter.add(regions[None], there[None], mass[None])
    if not meters:
        raise ValueError(f"{predictor.name} has no graph whose regions could be measured")
    return {name: meter.result() for name, meter in meters.items()}
