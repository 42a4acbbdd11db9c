"""A graph at named modules of any network."""
