"""What models there are, what weights of others become, what videos hold."""

from __future__ import annotations

from interlace.commands import say


def list_(pattern: str = "*") -> None:
    """List the registered models.

    Args:
        pattern: shell-style, e.g. "rstg_*".
    """
    from interlace.models.registry import describe_model, list_models

    for name in list_models(pattern):
        say(f"{name:28} {describe_model(name)}")


def convert(source: str, target: str, num_frames: int | None = None) -> None:
    """Turn weights that others released into weights of ours; say what went where.

    Known are the files of DyReg-GNN and of TSM on a ResNet, and ResNets of torchvision and timm.

    Args:
        source: PyTorch or safetensors; nothing in it is executed.
        target: the file to write, ends in .safetensors.
        num_frames: of a clip; if left out, as the file's name says, else as its authors trained.
    """
    from interlace.models.convert.files import convert_file

    for line in convert_file(source, target, num_frames=num_frames):
        say(line)


def scan(data: str, out: str = "manifest.csv", workers: int | None = None) -> None:
    """Decode every video of a folder once; list what each is, and which are broken or copies.

    Args:
        data: a folder of videos, or of folders of frames, at any depth; or one video.
        out: a CSV file, written anew: path, frames, rate, width, height, codec, checksum, error.
        workers: processes side by side, one per core if left out; 0 for none.
    """
    from interlace.data.clips.copies import copies_in_words, listed_below
    from interlace.data.clips.manifest import fingerprint, write_manifest
    from interlace.data.clips.scan import scan

    rows = scan(data, workers=workers)
    path = write_manifest(out, rows)
    broken = [row for row in rows if row.error]
    frames = sum(row.frames for row in rows)
    say(f"{len(rows) - len(broken):,} videos with {frames:,} frames, listed in {path}")
    if broken:
        say(f"{len(broken):,} cannot be read, and are listed with their errors, such as")
        for row in broken[:3]:
            say(f"  {row.error}")
    for line in copies_in_words(listed_below(rows)):
        say(line)
    say(f"fingerprint {fingerprint(rows)}")
