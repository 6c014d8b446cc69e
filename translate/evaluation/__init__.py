"""How good a trained model is: the parts behind `translate.evaluation.evaluate`."""
