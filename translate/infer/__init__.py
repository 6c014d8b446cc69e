"""Applying a trained model to photos: the parts behind `translate.infer.folder`."""
