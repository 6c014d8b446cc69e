"""The model file: what it says about itself, and how it is read and written."""
