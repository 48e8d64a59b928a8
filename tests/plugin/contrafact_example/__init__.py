"""An item of each kind for contrafact, in a package of its own."""
