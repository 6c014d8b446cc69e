"""RealPLKSR, a task model for gantk."""
