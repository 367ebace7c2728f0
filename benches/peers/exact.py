"""How far the network's scores are from those computed in f64, on each instruction set of this processor that is named.

The model's numbers are widened and its graph is evaluated by onnx's reference implementation, which takes a minute for half width.
Only of models in f32: codes are rounded otherwise in f64.
"""

import argparse
import os
import pathlib
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator
from google.protobuf.message import DecodeError

import rounds


def widened(model):
    """The model with every f32 made f64."""

    def wide(tensor):
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))

    graph = model.graph
    for tensor in graph.initializer:
        wide(tensor)
    for attribute in (attribute for node in graph.node for attribute in node.attribute if attribute.HasField("t")):
        wide(attribute.t)
    for value in [*graph.input, *graph.output, *graph.value_info]:
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.DOUBLE
    return model


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Example: benches/peers/.venv/bin/python benches/peers/exact.py part.onnx avx2 portable",
    )
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("isa", nargs="*", default=["avx512", "avx2", "portable"], help="as MUDENET_ISA [default: %(default)s]")
    arguments = parser.parse_args()
    path = arguments.model.resolve()
    # Where the program that is measured lies.
    os.chdir(rounds.HERE.parent.parent)
    model = onnx.load(path)
    side = model.graph.input[0].type.tensor_type.shape.dim[-1].dim_value
    image = np.random.default_rng(0).normal(size=(1, 3, side, side)).astype(np.float32)
    names = [output.name for output in model.graph.output]
    exact = ReferenceEvaluator(widened(model)).run(None, {model.graph.input[0].name: image.astype(np.float64)})
    print("| | " + " | ".join(f"{name}, of the largest value | of the value itself" for name in names) + " |")
    print("|---|" + "---|---|" * len(names))
    with tempfile.TemporaryDirectory() as folder:
        picture, got = pathlib.Path(folder, "image.bin"), pathlib.Path(folder, "outputs.bin")
        image.tofile(picture)
        for isa in arguments.isa:
            os.environ["MUDENET_ISA"] = isa
            worker = rounds.Worker(rounds.OURS, path, picture, 1, "", sorted(os.sched_getaffinity(0)), names)
            values, row = worker.outputs(got).astype(np.float64), [isa]
            worker.close()
            for reference in exact:
                own, values = values[: reference.size], values[reference.size :]
                error = np.abs(own - reference.ravel())
                row += [f"{error.max() / np.abs(reference).max():.1e}", f"{(error / np.abs(reference.ravel())).max():.1e}"]
            print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("error: interrupted")
    except (OSError, RuntimeError, DecodeError, IndexError) as error:
        print(f"error: {' '.join(str(error).split()) or 'not a model of pictures'}", file=sys.stderr)
        sys.exit(2)
