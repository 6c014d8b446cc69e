"""A training run: the engine, its folder and everything that happens between the first step and the last."""
