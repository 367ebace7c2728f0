"""Runs a bundle on prepared inputs in whatever runtimes this Python has; one JSON line for each.

usage: peers.py MODEL.onnx INPUTS COUNT FOLDER [memory]
INPUTS holds COUNT images (3, H, W), f32 little-endian; FOLDER takes `RUNTIME.structural` and `RUNTIME.logical` alike.
"""
import json
import sys

import numpy as np

model, inputs, count, folder = sys.argv[1:5]
names = ["structural", "logical"] + sys.argv[5:]


def onnxruntime():
    import onnxruntime as ort

    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    side = session.get_inputs()[0].shape[2:]
    return ort.__version__, side, lambda x: session.run(names, {"image": x})


def openvino():
    import openvino as ov

    compiled = ov.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    side = list(compiled.input(0).shape)[2:]
    outputs = [compiled.output(name) for name in names]
    return ov.__version__.split("-")[0], side, lambda x: [compiled([x])[output].copy() for output in outputs]


try:
    import onnx

    onnx.checker.check_model(onnx.load(model), full_check=True)
except ImportError:
    pass
for name, prepare in [("onnxruntime", onnxruntime), ("openvino", openvino)]:
    try:
        version, side, run = prepare()
    except ImportError:
        continue
    images = np.fromfile(inputs, "<f4").reshape(int(count), 1, 3, *side)
    results = [run(image) for image in images]
    for output, of in zip(names, zip(*results)):
        np.stack(of).astype("<f4").tofile(f"{folder}/{name}.{output}")
    print(json.dumps({"runtime": name, "version": version}))
