"""One runtime in a process of its own, which times a frame whenever it is asked.

    worker.py RUNTIME MODEL INPUT THREADS OUTPUT...

Reads a command a line, answers with a line: `frame` with milliseconds, `outputs FILE` (writes the outputs as raw f32) with
`done`. The first line it prints is a JSON object: version, load_ms, base_kb.
"""

import json
import sys
import time

import numpy as np


def onnxruntime(model, image, threads, names):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return ort.__version__, lambda: session.run(names, {"image": image})


def openvino(model, image, threads, names, precision="f32"):
    import openvino as ov

    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": precision,
    }
    compiled = ov.Core().compile_model(model, "CPU", settings)
    request = compiled.create_infer_request()
    outputs = [compiled.output(name) for name in names]

    def run():
        results = request.infer({"image": image})
        return [results[output] for output in outputs]

    return ov.__version__.split("-")[0], run


def openvino_bf16(model, image, threads, names):
    return openvino(model, image, threads, names, "bf16")


def mnn(model, image, threads, names):
    import MNN

    interpreter = MNN.Interpreter(model)
    session = interpreter.createSession({"numThread": threads, "backend": "CPU", "precision": "high"})
    given = interpreter.getSessionInput(session, "image")
    host = MNN.Tensor(image.shape, MNN.Halide_Type_Float, image, MNN.Tensor_DimensionType_Caffe)

    def run():
        given.copyFrom(host)
        interpreter.runSession(session)
        results = []
        for name in names:
            result = interpreter.getSessionOutput(session, name)
            values = np.empty(result.getShape(), np.float32)
            target = MNN.Tensor(values.shape, MNN.Halide_Type_Float, values, MNN.Tensor_DimensionType_Caffe)
            result.copyToHostTensor(target)
            results.append(np.array(target.getNumpyData(), np.float32).reshape(values.shape))
        return results

    return MNN.version(), run


def resident_kb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def main():
    runtime, model, image, threads, *names = sys.argv[1:]
    side = np.fromfile(image, np.float32)
    size = round((side.size / 3) ** 0.5)
    image = side.reshape(1, 3, size, size)
    base = resident_kb()
    start = time.perf_counter()
    version, run = globals()[runtime](model, image, int(threads), names)
    load = 1e3 * (time.perf_counter() - start)
    run()
    answer = sys.stdout
    print(json.dumps({"version": version, "load_ms": load, "base_kb": base}), file=answer, flush=True)
    for line in sys.stdin:
        command, *words = line.split(maxsplit=1)
        if command == "frame":
            start = time.perf_counter()
            run()
            print(1e3 * (time.perf_counter() - start), file=answer, flush=True)
        elif command == "outputs":
            with open(words[0].strip(), "wb") as file:
                for output in run():
                    file.write(np.ascontiguousarray(output, np.float32).tobytes())
            print("done", file=answer, flush=True)


if __name__ == "__main__":
    main()
