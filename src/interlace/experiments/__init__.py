"""Configs, published tables, our results beside them, and how to make these again."""
