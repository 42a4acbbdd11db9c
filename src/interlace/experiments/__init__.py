"""Published tables, our rows beside them, and how to make these again."""
