"""Weights from other codes: read without running anything, recognised by their tensors, published as our own.

`read` reads them, `registry` finds the installed families (entry points of ``gantk.importers``), and `convert` does the
rest. A new family is a file with a `Family` and one entry point.
"""
