"""Data sets of labelled clips: what is in them, what a model is shown of them."""
