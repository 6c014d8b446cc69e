"""A trained model in the forms that other tools read: ONNX, spandrel's key names, a folder for a model hub.

Each file is checked with the other tool's own loader before it gets its name: a model that computes something else is
not written.
"""
