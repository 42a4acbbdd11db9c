"""From a folder of clips to a trained model and a prediction; takes half a minute.

The clips are made up, of shapes that move left, right, together or apart. To learn them, a model
needs more clips and epochs than these: `interlace generate motion` and `interlace train` do it.

python examples/own_clips.py
"""

import tempfile
from pathlib import Path

import interlace
from interlace.data.clips.motion import write_motion_clips
from interlace.predict.prediction import Prediction
from interlace.training import train


def main(folder: str, per_class: int = 10, epochs: int = 2, size: int = 64) -> Prediction:
    """What the trained model says of the first clip.

    Args:
        folder: clips/ and run/ come into it.
        per_class: clips of each of the four classes.
        epochs: over all clips.
        size: of the square that the model sees, in pixels.
    """
    clips = Path(folder) / "clips"  # clips/left/left_000.webm, ...
    files = write_motion_clips(clips, per_class=per_class, frames=12)
    weights = train(  # tsm_r18_dyreg, if one does not say which model
        {"path": str(clips), "num_frames": 4, "size": size, "short_side": size + 8, "workers": 0},
        recipe={"epochs": epochs},
        trainer={"out": str(Path(folder) / "run"), "precision": "fp32"},
    )

    predict = interlace.Predictor(weights)
    prediction = predict(files[0])
    print(prediction.as_text())
    for graph, boxes in prediction.boxes.items():  # (T, N, 4), fractions of the whole frame
        print(f"{graph}: regions {tuple(boxes.shape)} on frames {prediction.frames}")
    return prediction


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(folder)
