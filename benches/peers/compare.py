"""Time one frame on this project's operators and on other runtimes, in interleaved rounds on the very same model file.

    pip install -r benches/peers/requirements.txt
    cargo bench --no-run --bench infer
    python benches/peers/compare.py target/release/deps/infer-HASH --width 64 --size 256 --threads 1 --rounds 15

Runtimes that are not installed are left out of the table.
"""

import argparse
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy as np


def ours(arguments, model):
    command = [arguments.binary, arguments.width, arguments.size, 0, "serve", model, arguments.threads]
    process = subprocess.Popen(
        [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdout.readline() == "ready\n", "the benchmark binary did not start"

    def frame():
        process.stdin.write("\n")
        return float(process.stdout.readline())

    return frame


def timed(run):
    def frame():
        start = time.perf_counter()
        run()
        return 1e3 * (time.perf_counter() - start)

    return frame


def onnxruntime(arguments, model, image):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return f"onnxruntime {ort.__version__}", timed(lambda: session.run(None, {"image": image}))


def openvino(arguments, model, image):
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": arguments.threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = openvino.Core().compile_model(str(model), "CPU", settings).create_infer_request()
    return f"openvino {openvino.__version__.split('-')[0]}", timed(lambda: request.infer({"image": image}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", help="the benchmark that cargo built")
    parser.add_argument("--width", type=int, default=64, help="internal channels of the networks (default: 64)")
    parser.add_argument("--size", type=int, default=256, help="side of the picture (default: 256)")
    parser.add_argument("--threads", type=int, default=1, help="threads of every runtime (default: 1)")
    parser.add_argument("--rounds", type=int, default=15, help="rounds after the first (default: 15)")
    arguments = parser.parse_args()
    image = np.random.default_rng(0).normal(size=(1, 3, arguments.size, arguments.size)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        model = pathlib.Path(folder) / "random.onnx"
        frames = {"mudenet-edge": ours(arguments, model)}
        for peer in (onnxruntime, openvino):
            try:
                name, frame = peer(arguments, model, image)
            except ImportError as error:
                print(f"left out: {error}")
                continue
            frames[name] = frame
        times = {name: [] for name in frames}
        for round in range(arguments.rounds + 1):
            for name, frame in frames.items():
                milliseconds = frame()
                if round > 0:
                    times[name].append(milliseconds)
    print(f"width {arguments.width}, {arguments.size}×{arguments.size}, {arguments.threads} thread(s)")
    print("| runtime | median ms | shortest ms | ours / it |\n|---|---|---|---|")
    own = statistics.median(times["mudenet-edge"])
    for name, values in times.items():
        median = statistics.median(values)
        print(f"| {name} | {median:.1f} | {min(values):.1f} | {own / median:.3f} |")


if __name__ == "__main__":
    main()
