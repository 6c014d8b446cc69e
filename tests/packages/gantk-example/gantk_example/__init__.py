"""CUT and FastCUT as a gantk plugin."""
