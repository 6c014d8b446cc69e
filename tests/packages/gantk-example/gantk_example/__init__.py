"""GcGAN as a gantk plugin."""
