"""`python -m interlace` is the command `interlace`."""

import sys

from interlace.commands.cli import main

sys.exit(main())
