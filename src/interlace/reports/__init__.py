"""Pages about a run, a model, a clip: pictures and words in one HTML file each."""

from interlace.reports.explained import ClipReport, explain_clip, explain_graph
from interlace.reports.files import save_pictures
from interlace.reports.page import write_report

__all__ = ["ClipReport", "explain_clip", "explain_graph", "save_pictures", "write_report"]
