"""Where nodes look: modules that give boxes."""
