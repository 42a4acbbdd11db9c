"""Videos as tensors: files, folders of frames, arrays."""

from interlace.data.video.excerpt import Excerpt, Span
from interlace.data.video.info import VideoError, VideoInfo
from interlace.data.video.read import Source, check_video, read_frames, video_info

__all__ = [
    "Excerpt",
    "Source",
    "Span",
    "VideoError",
    "VideoInfo",
    "check_video",
    "read_frames",
    "video_info",
]
