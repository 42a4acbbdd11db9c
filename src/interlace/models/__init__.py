"""Networks: backbones, graphs put on them, baselines, and the registry of named models."""
