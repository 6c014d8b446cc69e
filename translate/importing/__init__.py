"""Weights from other codes: read without running anything, recognised by their tensors, published as our own.

`files` reads them, each family in its own file says how its tensors are laid out, `registry` lists the families and
`importing` does the rest. A new family is a file with a `Family` and one line in the registry.
"""
