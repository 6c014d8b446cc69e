"""What an export is unless other values are given. Imports nothing heavy, so that ``--help`` stays quick."""

from __future__ import annotations

from typing import Literal

TOLERANCE = 1e-3
"""Largest accepted difference of an exported model's pictures, on values in [-1, 1]; 8 bits see 8e-3."""

HALF_TOLERANCE = 2e-2
"""Largest accepted difference of fp16 pictures from fp32 ones, on values in [-1, 1]: 2.5 of the 255 steps of 8 bits.
Public networks are at 2e-3 to 6e-3 (65 dB and more)."""

OPSET = 18
"""Version of the operators of an ONNX file."""

Range = Literal["-1..1", "0..1"]
"""Black and white in the pictures of a file for ONNX or ncnn."""
