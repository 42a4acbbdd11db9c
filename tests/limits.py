"""A disk that gets full, for real: the system refuses to write files beyond a size."""

import resource
from contextlib import contextmanager


@contextmanager
def full_disk(most=100_000):
    """No file of this process can grow beyond `most` bytes; the error is an OSError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
