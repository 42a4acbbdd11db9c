"""A path or an array in; labels, scores and boxes out."""
