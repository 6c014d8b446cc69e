"""Pictures from noise: drawing them, and writing them to files."""
