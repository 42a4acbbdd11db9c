"""How fast this machine makes videos, reads clips, classifies both and learns from them."""

from __future__ import annotations

from typing import Any

from interlace.commands import Precision, at_least_one, say


def bench_model(
    model: Any,
    data: Any = {"digits": "embedded"},  # noqa: B006, only read
    batch_size: int = 64,
    precision: Precision = "bf16",
    repeats: int = 5,
) -> None:
    """Time synthetic videos, a model and a training step on this machine, in videos a second.

    Args:
        model: which network; `--model NAME` will do.
        data: which videos; `--data NAME` will do.
        batch_size: videos a step.
        precision: "bf16" is autocast to bfloat16.
        repeats: of each timing; the median counts.
    """
    import torch

    from interlace.commands.timing import learning, median_seconds
    from interlace.data.digits.datasets import load_split
    from interlace.models.registry import create_model
    from interlace.record import hardware

    at_least_one(batch_size=batch_size, repeats=repeats)
    videos = load_split(data, "train")
    network = create_model(model.name, num_classes=videos.num_classes, weights=model.weights)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    batch = videos.batch(range(batch_size), device=device)
    bf16 = precision == "bf16"
    learn = learning(network.to(device), device, bf16=bf16)

    def infer() -> None:
        with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=bf16):
            network(batch.video)

    say(f"{hardware()}, {precision}, batches of {batch_size}, median of {repeats}")
    for name, call in (
        ("videos made", lambda: videos.batch(range(batch_size), device=device)),
        (f"{model.name} classifies", infer),
        (f"{model.name} learns", lambda: learn(batch.video, batch.label)),
    ):
        seconds = median_seconds(call, repeats, device)
        say(f"{name:40} {batch_size / seconds:10,.0f} videos/s")


def bench_data(
    path: str,
    model: str = "tsm_r18_dyreg",
    clips: int = 60,
    num_frames: int = 16,
    size: int = 224,
    short_side: int = 256,
    batch_size: int = 4,
    workers: int = 2,
    precision: Precision = "bf16",
    repeats: int = 3,
) -> None:
    """Time how fast clips are read and learned from, and say which of the two is the bound.

    Args:
        path: a folder of videos, at any depth; labels do not matter.
        model: a registered model for real videos, see `interlace list`.
        clips: the first so many are read.
        num_frames: that the model is shown of a clip.
        size: of the square it is shown, in pixels.
        short_side: that frames are resized to before, in pixels.
        batch_size: clips a step.
        workers: processes that read.
        precision: "bf16" is autocast to bfloat16.
        repeats: of each timing, in turn; the median counts.
    """
    import torch

    from interlace.commands.clip_speeds import NUM_CLASSES, measure
    from interlace.commands.timing import learning
    from interlace.data.clips.opening import open_unlabelled
    from interlace.data.clips.shape import ClipShape
    from interlace.models.registry import create_model, list_models
    from interlace.record import hardware

    if model not in list_models(channels=3):
        raise ValueError(
            f"{model!r} is no model for real videos; take one such as tsm_r18, see `interlace list`"
        )
    found = open_unlabelled(path)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = create_model(model, num_classes=NUM_CLASSES).to(device)
    say(
        f"{hardware()}, {precision}, {workers} workers, batches of {batch_size} x "
        f"{num_frames} frames, median of {repeats}"
    )
    speeds = measure(
        found.select(range(min(clips, len(found)))),
        ClipShape(num_frames, size, short_side),
        learning(network, device, bf16=precision == "bf16"),
        batch_size=batch_size,
        workers=workers,
        repeats=repeats,
        device=device,
    )
    share = f"{speeds.share:.0%} of the decoder"
    say(f"{'decoder alone':40} {speeds.decoder:10,.1f} clips/s")
    say(f"{'loader: decoded and transformed':40} {speeds.loader:10,.1f} clips/s, {share}")
    say(f"{model + ' learns':40} {speeds.model:10,.1f} clips/s")
    say(speeds.bound)
