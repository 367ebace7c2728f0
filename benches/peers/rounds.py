"""Time one frame on this project's engine and on other runtimes, the same model file, interleaved rounds.

Each runtime is a process of its own that times a frame when asked; in every round each is asked in turn, so that whatever
else the machine does falls on all of them alike. A figure is the median over rounds of a round's median; a ratio is the
median over rounds of the two runtimes' ratio in that round. Outputs are compared with onnxruntime's on the same file.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx.utils

HERE = pathlib.Path(__file__).resolve().parent
EDGE = "target/release/mudenet-edge"
EXPORT = "target/release/mudenet-export"
OURS = "mudenet-edge"
# As Cargo.toml pins it.
TRACT = "0.23.9"
# Name: (worker, environment, kinds of model). A cap limits the instruction set of every runtime that has a switch for it.
RUNTIMES = {
    OURS: ("ours", {}, ("f32", "weights", "full")),
    "tract": ("ours", {"MUDENET_ENGINE": "plain"}, ("f32", "weights", "full")),
    "onnxruntime": ("onnxruntime", {}, ("f32", "weights", "full")),
    "openvino": ("openvino", {}, ("f32", "weights", "full")),
    "mnn": ("mnn", {}, ("f32",)),
}
CAPS = {
    "": {},
    "avx2": {OURS: {"MUDENET_ISA": "avx2"}, "openvino": {"ONEDNN_MAX_CPU_ISA": "AVX2", "OV_CPU_MAX_ISA": "AVX2"}},
    "avx512vnni": {OURS: {"MUDENET_ISA": "avx512vnni"}, "openvino": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"}},
}
# The memory alone, which is what a box computes of most products: a model of half width whose other branches have no weight.
MEMORY = "memory"
# What the table of this script shows unless asked otherwise: width, quantization, threads (0: all cores), cap.
CASES = """memory:f32:1 memory:f32:0 full:f32:1 full:f32:0 full:f32:1:avx2 half:f32:1 full:weights:1 full:full:1
full:full:1:avx512vnni""".split()
# A runtime whose outputs differ by more than this share of the largest value is named; nothing is hidden.
AGREE = {"f32": 2e-4, "weights": 2e-4, "full": 2e-2}


class Worker:
    """A runtime in a process of its own."""

    def __init__(self, name, model, image, threads, cap, cores, outputs):
        worker, environment, _ = RUNTIMES[name]
        if worker == "ours":
            command = [EDGE, "bench", "--model", model, "--threads", threads, "--serve", image]
        else:
            command = [sys.executable, HERE / "worker.py", worker, model, image, threads, *outputs]
        self.name = name
        self.resized = worker != "ours" and outputs == [MEMORY]
        self.times = []
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**os.environ, **environment, **CAPS[cap].get(name, {})},
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        line = self.process.stdout.readline()
        while line and not line.startswith("{"):
            line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            reason = self.process.stderr.read().strip().splitlines()
            raise RuntimeError(reason[-1] if reason else f"ended with code {self.process.returncode}")
        self.hello = json.loads(line)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        answer = self.process.stdout.readline().strip()
        if not answer:
            raise RuntimeError(f"{self.name} ended early: {self.process.stderr.read().strip()}")
        return answer

    def frames(self, count):
        return statistics.median(float(self.ask("frame")) for _ in range(count))

    def outputs(self, file):
        self.ask(f"outputs {file}")
        values = np.fromfile(file, np.float32)
        return resized(values, 4) if self.resized else values

    def peak_mb(self):
        """Largest resident memory less that of the interpreter before the runtime was loaded."""
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith("VmHWM"):
                return (int(line.split()[1]) - self.hello["base_kb"]) * 1024 / 1e6

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def resized(values, times):
    """A square map, bilinear between the middles of its cells, as ours brings the memory to the size of the other branches."""
    side = round(values.size**0.5)
    middles = (np.arange(side * times) + 0.5) / times - 0.5
    line = lambda row: np.interp(middles, np.arange(side), row)
    rows = np.apply_along_axis(line, 1, values.reshape(side, side))
    return np.apply_along_axis(line, 0, rows).astype(np.float32).ravel()


def converted(name, model, outputs):
    """The file that `name` reads: the model itself, for others the part that gives `outputs`, or what the runtime's own converter
    makes of that."""
    if RUNTIMES[name][0] == "ours":
        return model
    if outputs == [MEMORY]:
        part = model.with_suffix(".part.onnx")
        if not part.exists():
            onnx.utils.extract_model(str(model), str(part), ["image"], outputs)
        model = part
    if name != "mnn":
        return model
    target = model.with_suffix(".mnn")
    if not target.exists():
        converter = pathlib.Path(sys.executable).parent / "mnnconvert"
        command = [converter, "-f", "ONNX", "--modelFile", model, "--MNNModel", target, "--bizCode", "mudenet"]
        subprocess.run([str(word) for word in command], check=True, capture_output=True)
    return target


def run_case(case, names, arguments, folder, references):
    width, kind, threads, cap = case
    model = folder / f"{width}-{kind}-{arguments.size}.onnx"
    if not model.exists():
        of = ["--width", "half", "--memory", "2000"] if width == MEMORY else ["--width", width]
        command = [EXPORT, "random", *of, "--size", str(arguments.size), "--seed", "1", "-o", str(model)]
        command += ["--quantize", kind] if kind != "f32" else []
        made = subprocess.run(command, capture_output=True, text=True)
        if made.returncode != 0:
            return {"case": case, "left_out": {OURS: made.stderr.strip()}, "runtimes": {}}
    image = folder / f"input-{arguments.size}.bin"
    if not image.exists():
        np.random.default_rng(0).normal(size=(1, 3, arguments.size, arguments.size)).astype(np.float32).tofile(image)
    cores = sorted(os.sched_getaffinity(0))
    threads = threads or len(cores)
    # From the last core down: the first one serves more interrupts.
    cores = set(cores[-threads:])
    given = [MEMORY] if width == MEMORY else ["structural", "logical"]
    workers, left_out = [], {}
    for name in names:
        if kind not in RUNTIMES[name][2] or (cap and name not in CAPS[cap]):
            continue
        try:
            workers.append(Worker(name, converted(name, model, given), image, threads, cap, cores, given))
        except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
            left_out[name] = str(error)
    for worker in workers:
        worker.frames(arguments.warm_up)
    for _ in range(arguments.rounds):
        for worker in workers:
            worker.times.append(worker.frames(arguments.frames))
            # Threads of some runtimes spin for a while after a frame.
            time.sleep(0.05)
    results = {}
    outputs = {worker.name: worker.outputs(folder / "outputs.bin") for worker in workers}
    if "onnxruntime" in outputs:
        references[width, kind] = outputs["onnxruntime"]
    reference = references.get((width, kind))
    ours = next((worker for worker in workers if worker.name == OURS), None)
    for worker in workers:
        result = {
            "version": TRACT if worker.name == "tract" else worker.hello["version"],
            "median_ms": statistics.median(worker.times),
            "best_ms": min(worker.times),
            "rounds_ms": worker.times,
            "load_ms": worker.hello["load_ms"],
            "peak_rss_mb": worker.peak_mb(),
        }
        if ours:
            result["ours_of_it"] = statistics.median(a / b for a, b in zip(ours.times, worker.times))
        if reference is not None:
            error = np.abs(outputs[worker.name] - reference).max() / np.abs(reference).max()
            result["difference"] = float(error)
            result["agrees"] = bool(error <= AGREE[kind])
        results[worker.name] = result
    plan = {}
    if ours:
        keys = ("engine", "peak_gmacs", "peak_dot_gmacs", "direct_mmacs", "planned_mmacs", "not_accelerated")
        plan = {key: ours.hello[key] for key in keys}
        if plan["planned_mmacs"]:
            plan["direct_floor_ms"] = plan["direct_mmacs"] / plan["peak_gmacs"] / threads
            plan["planned_floor_ms"] = ours.hello["floor_ms"] / threads
    for worker in workers:
        worker.close()
    case = {"width": width, "kind": kind, "threads": threads, "cap": cap, "size": arguments.size}
    return {"case": case, "plan": plan, "runtimes": results, "left_out": left_out}


def table(result):
    case = result["case"]
    cap = f", capped to {case['cap']}" if case["cap"] else ""
    width = "memory alone" if case["width"] == MEMORY else f"{case['width']} width"
    print(f"\n### {width}, {case['size']}×{case['size']}, {case['kind']}, {case['threads']} thread(s){cap}\n")
    print("| runtime | median ms | best ms | ours / it | load ms | peak MB | difference |")
    print("|---|---|---|---|---|---|---|")
    for name, r in result["runtimes"].items():
        ratio = f"{r['ours_of_it']:.3f}" if "ours_of_it" in r else "–"
        difference = f"{r['difference']:.1e}{'' if r['agrees'] else ' **differs**'}" if "difference" in r else "–"
        print(
            f"| {name} {r['version']} | {r['median_ms']:.1f} | {r['best_ms']:.1f} | {ratio} | {r['load_ms']:.0f} "
            f"| {r['peak_rss_mb']:.0f} | {difference} |"
        )
    for name, reason in result["left_out"].items():
        print(f"\nleft out: {name}: {reason}")
    plan = result["plan"]
    if "planned_floor_ms" in plan:
        of_bytes = f", {plan['peak_dot_gmacs']:.0f} of bytes" if plan["peak_dot_gmacs"] else ""
        print(
            f"\n{plan['engine']}; one core does {plan['peak_gmacs']:.1f} GMAC/s at most{of_bytes}: at least "
            f"{plan['direct_floor_ms']:.0f} ms for the definition's {plan['direct_mmacs'] / 1e3:.2f} GMAC in f32, "
            f"{plan['planned_floor_ms']:.0f} ms for the plan's {plan['planned_mmacs'] / 1e3:.2f}."
        )
    for reason in plan.get("not_accelerated", []):
        print(f"\nnot accelerated: {reason}")
    sys.stdout.flush()


def parsed(text):
    width, kind, threads, *cap = text.split(":")
    if kind not in AGREE or (cap and cap[0] not in CAPS):
        raise argparse.ArgumentTypeError(f"expected WIDTH|memory:f32|weights|full:THREADS[:avx2|avx512vnni], got {text}")
    return width, kind, int(threads), cap[0] if cap else ""


def main():
    parser = argparse.ArgumentParser(
        prog="benches/peers/run",
        description=__doc__,
        epilog="Example: benches/peers/run memory:f32:1 full:f32:1:avx2 --rounds 3 --json figures.json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("cases", nargs="*", type=parsed, help=f"WIDTH:KIND:THREADS[:CAP], WIDTH a size of the networks or memory (default: {' '.join(CASES)})")
    parser.add_argument("--size", type=int, default=256, help="side of the picture (default: 256)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds after warming up (default: 7)")
    parser.add_argument("--frames", type=int, default=3, help="frames of each runtime a round (default: 3)")
    parser.add_argument("--warm-up", type=int, default=3, help="frames before the first round (default: 3)")
    parser.add_argument("--runtimes", default=",".join(RUNTIMES), help=f"some of {','.join(RUNTIMES)}")
    parser.add_argument("--json", metavar="FILE", help="write every figure")
    arguments = parser.parse_args()
    unknown = set(arguments.runtimes.split(",")) - set(RUNTIMES)
    if unknown:
        parser.error(f"unknown runtime: {', '.join(sorted(unknown))}")
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "")
    results, references = [], {}
    print(f"{cpu or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    with tempfile.TemporaryDirectory() as folder:
        for case in arguments.cases or [parsed(case) for case in CASES]:
            result = run_case(case, arguments.runtimes.split(","), arguments, pathlib.Path(folder), references)
            if not result["runtimes"]:
                print(f"\nleft out: {':'.join(map(str, case))}: {result['left_out']}")
                continue
            results.append(result)
            table(result)
    if arguments.json:
        machine = {"cpu": cpu, "architecture": platform.machine(), "cores": os.cpu_count(), "load": os.getloadavg()}
        with open(arguments.json, "w") as file:
            json.dump({"machine": machine, "rounds": arguments.rounds, "results": results}, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
