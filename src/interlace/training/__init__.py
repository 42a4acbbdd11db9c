"""One training run: options, loop, optimiser, lessons; tasks for digits and for clips."""
