"""Videos as tensors: files, folders of frames, arrays."""
