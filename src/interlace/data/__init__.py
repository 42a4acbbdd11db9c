"""Where videos come from: synthetic digits made on any device, files, and what samples them."""
