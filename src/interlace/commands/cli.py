"""The command line: one parser over the functions in `interlace.commands`."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

from jsonargparse import auto_cli

from interlace.commands import bench, generate, info, learn, look, reproduce, say, tools
from interlace.commands.parser import Parser
from interlace.commands.videos import on_videos


def main(argv: list[str] | None = None) -> int:
    """Runs a command; what a user can mend ends in one sentence and exit code 1."""
    notes = logging.StreamHandler()
    logger = logging.getLogger("interlace")
    logger.addHandler(notes)
    logger.setLevel(logging.INFO)
    try:
        commands, argv = on_videos(_COMMANDS, sys.argv[1:] if argv is None else argv)
        auto_cli(commands, args=argv, prog="interlace", parser_class=Parser, allow_abbrev=False)
    except KeyboardInterrupt:
        say("stopped; the same command goes on", file=sys.stderr)
        return 130
    except BrokenPipeError:  # who reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, ImportError, KeyError) as error:
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
        say(f"interlace: {text}", file=sys.stderr)
        return 1
    finally:
        logger.removeHandler(notes)
    return 0


_COMMANDS: dict[str, Any] = {
    "train": learn.train,
    "evaluate": learn.evaluate,
    "explain": look.explain,
    "generate": {
        "_help": "Write videos of digits to look at, or clips of motions to train on.",
        "digits": generate.generate_digits,
        "motion": generate.generate_motion,
    },
    "list": tools.list_,
    "info": info.info,
    "bench": {
        "_help": "Time synthetic videos and a model, or how fast clips are read.",
        "model": bench.bench_model,
        "data": bench.bench_data,
    },
    "predict": look.predict,
    "reproduce": reproduce.reproduce,
    "scan": tools.scan,
    "convert": tools.convert,
}
