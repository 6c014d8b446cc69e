"""The model file: what it states about itself, and how it is read and written."""
