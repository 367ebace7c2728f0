"""Runs a bundle in ONNX Runtime after onnx's full check.

usage: onnxruntime_scores.py MODEL.onnx INPUT.safetensors OUTPUT.safetensors
INPUT holds `image` (1, 3, H, W); OUTPUT takes every output under its name.
"""
import sys

import onnx
import onnxruntime
from safetensors.numpy import load_file, save_file

model, source, target = sys.argv[1:]
onnx.checker.check_model(onnx.load(model), full_check=True)
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
names = [output.name for output in session.get_outputs()]
save_file(dict(zip(names, session.run(names, load_file(source)))), target)
