"""Networks that spandrel knows, as models of gantk."""
