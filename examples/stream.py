"""A stream, frame by frame, gives what the whole clip gives: causal TSM with DyReg; takes seconds.

python examples/stream.py
"""

import torch

import interlace
from interlace.graph.readout import ZeroStartNorm


@torch.no_grad()
def main(frames: int = 16, size: int = 112) -> float:
    """The largest difference between the logits of the stream and of the clip.

    Args:
        frames: of the clip.
        size: of a frame, in pixels.
    """
    torch.manual_seed(0)
    model = interlace.create_model("tsm_r18_causal_dyreg", num_classes=5).eval()
    for module in model.modules():  # a fresh graph adds nothing; as if it had learnt, it does
        if isinstance(module, ZeroStartNorm):
            torch.nn.init.ones_(module.weight)

    video = torch.rand(1, frames, 3, size, size)
    whole, traces = model(video, return_trace=True)

    state = None
    for t in range(frames):
        logits, state, seen = model(
            video[:, t : t + 1], state, return_state=True, return_trace=True
        )
        best = int(logits.argmax())
        print(f"frame {t}: class {best} so far, {float(logits.softmax(-1)[0, best]):.1%}")
        for name, trace in traces.items():  # it looks where it looked in the clip, too
            torch.testing.assert_close(seen[name].boxes[:, 0], trace.boxes[:, t])

    apart = float((logits - whole).abs().max())
    print(f"stream and clip differ by {apart:.1e}; the state does not grow with the frames")
    return apart


if __name__ == "__main__":
    main()
