"""Times this tool and its peers on the same encoders in turns; see scripts/bench-peers."""

import argparse
import contextlib
import gc
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

ENCODERS = ("vit-ti", "base", "so400m")
LIBRARIES = ("torch_peers", "onnx_peers", "openvino_peers")
CALIBRATION_IMAGES = 8
SECONDS_OF_A_TURN = 0.5
LEAST_COSINE = 0.9


@dataclass
class Case:
    """One encoder, as the peers see it."""
    model: object
    image: object
    images: list
    folder: str


@dataclass
class Entry:
    name: str
    run: object = None
    reason: str = ""
    cosine: float = None  # of its output with torch's FP32: whether it computes the same encoder
    ms: list = field(default_factory=list)


def tell(text):
    print(text, file=sys.stderr, flush=True)


def measure_ours(encoder, arguments):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "bench.json")
        command = [os.environ["W8A8_BINARY"], "bench", "--forward", "--quiet", "--json", path]
        command += ["--model", arguments.model] if arguments.model else ["--encoder", encoder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        with open(path, encoding="utf-8") as written:
            return json.load(written)


def variant(forward):
    name = forward["precision"].upper()
    attention = forward["attention"]
    return name if attention == "fp32" else f"{name}, attention in {attention.upper()}"


def cpu_ms(run):
    """CPU time of one call over all threads of this process: the median within a turn."""
    samples = []
    start = time.monotonic()
    while len(samples) < 3 or time.monotonic() - start < SECONDS_OF_A_TURN:
        before = time.process_time()
        run()
        samples.append(1e3 * (time.process_time() - before))
    return statistics.median(samples)


def first_line(error):
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:160] if text else ''}"


def values_of(output):
    """The one output of a peer, flat: a tensor, a list of arrays, or OpenVINO's results."""
    import torch
    if isinstance(output, torch.Tensor):
        return output.detach().double().flatten()
    first = output[0] if isinstance(output, list) else output[next(iter(output))]
    return torch.as_tensor(first).double().flatten()


def cosine(first, second):
    return float(first @ second / (first.norm() * second.norm()))


def open_peers(case):
    import torch
    with torch.inference_mode():
        expected = values_of(case.model(case.image))
    entries = []
    for library in LIBRARIES:
        try:
            peers = importlib.import_module(library).PEERS
        except Exception as error:
            entries.append(Entry(library.replace("_peers", ""), reason=first_line(error)))
            continue
        for name, make in peers:
            tell(f"peers      preparing {name}")
            entry = Entry(name)
            try:
                with contextlib.redirect_stdout(sys.stderr):
                    entry.run = make(case)
                    entry.cosine = cosine(values_of(entry.run()), expected)
            except Exception as error:  # named in the table, whatever it is
                entry.run, entry.reason = None, first_line(error)
            entries.append(entry)
            gc.collect()
    return entries


def measure(encoder, arguments):
    import encoder as made
    import torch
    torch.set_num_threads(1)
    first = measure_ours(encoder, arguments)
    shape = first["forward"][0]["shape"]
    name = first["forward"][0]["model"]
    if made.refusal(shape):
        sys.exit(f"error: {name}: {made.refusal(shape)} for the peers.")
    images = made.make_images(shape, CALIBRATION_IMAGES)
    ours = {variant(forward): Entry(f"**w8a8-calib {variant(forward)}**")
            for forward in first["forward"]}
    with tempfile.TemporaryDirectory() as folder:
        entries = open_peers(Case(made.make_encoder(shape), images[0], images, folder))
        for turn in range(arguments.rounds):
            tell(f"peers      {name}: turn {turn + 1} of {arguments.rounds}")
            for forward in measure_ours(encoder, arguments)["forward"]:
                ours[variant(forward)].ms.append(forward["ms_per_image"])
            for entry in entries:
                if entry.run is not None:
                    entry.ms.append(cpu_ms(entry.run))
    return {"model": name, "blocks": shape["blocks"], "machine": first["machine"],
            "entries": list(ours.values()) + entries, "ours": ours["INT8"]}


def ratio_of(entry, ours):
    """How many times as long as our INT8, by pairs of one turn."""
    return statistics.median(theirs / mine for theirs, mine in zip(entry.ms, ours.ms))


def cell(entry, ours):
    if not entry.ms:
        return "not run"
    return f"{statistics.median(entry.ms):.1f} ({ratio_of(entry, ours):.2f} x)"


def print_table(results, rounds):
    machine = results[0]["machine"]
    print(f"{machine['cpu']}, one thread, one image at a time, CPU time in ms per image (and times "
          f"w8a8-calib INT8), median of {rounds} turns.\n")
    columns = [f"{result['model']}, {result['blocks']} blocks" for result in results]
    print("| | " + " | ".join(columns) + " |")
    print("|---|" + "---|" * len(columns))
    for row in range(len(results[0]["entries"])):
        cells = [cell(result["entries"][row], result["ours"]) for result in results]
        print(f"| {results[0]['entries'][row].name} | " + " | ".join(cells) + " |")
    reasons = sorted({(entry.name, entry.reason) for result in results
                      for entry in result["entries"] if entry.reason})
    for result in results:
        for entry in result["entries"]:
            if entry.cosine is not None and entry.cosine < LEAST_COSINE:
                print(f"\n{entry.name} on {result['model']}: its output has a cosine of "
                      f"{entry.cosine:.3f} with FP32's, so it computes something else.")
    if reasons:
        print("\nNot run:")
    for name, reason in reasons:
        print(f"- {name}: {reason}")


def write_json(path, results):
    out = [{"model": result["model"], "blocks": result["blocks"], "machine": result["machine"],
            "peers": [{"name": entry.name.strip("*"), "ms": entry.ms, "reason": entry.reason or None,
                       "cosine_with_fp32": entry.cosine,
                       "times_ours": ratio_of(entry, result["ours"]) if entry.ms else None}
                      for entry in result["entries"]]} for result in results]
    with open(path, "w", encoding="utf-8") as file:
        json.dump(out, file, indent=1)


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench-peers", description=__doc__)
    parser.add_argument("--model", help="a folder in place of made encoders: its shape for the peers")
    parser.add_argument("--encoder", action="append", choices=ENCODERS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    encoders = [None] if arguments.model else arguments.encoder or ENCODERS
    results = [measure(encoder, arguments) for encoder in encoders]
    if arguments.json:
        write_json(arguments.json, results)
    print_table(results, arguments.rounds)


if __name__ == "__main__":
    main()
