"""How data sets say what their videos show."""
