"""Of scripts/gpu-check: parts of the job on a device beside the CPU's, given the same.

Layers: the CPU's plan and the CPU's inputs of a site, through `linear` by every kernel set. Scales: a
per-tensor plan from the device's own statistics, and from the CPU's.
"""
import json
import struct

# What `linear` writes of a layer, and what `encode --taps` calls the same.
TAPS = {"codes": "codes", "acc": "acc", "input_scale": "input_scale", "y": "output"}
BLOCK = "blocks.0."
# By the end of a site's name: the modules of the demo's checkpoint that it is made of.
MODULES = {"attn.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
           "attn.proj": ("self_attn.out_proj",), "mlp.fc1": ("mlp.fc1",), "mlp.fc2": ("mlp.fc2",)}
LAYER = "vision_model.encoder.layers.0."
BYTES = {"F64": 8, "U64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I8": 1, "U8": 1}
# Of a scale from the device's statistics to the CPU's: float sums before a site have no order.
MOST_SCALES_APART = 0.005


# ---- safetensors, with nothing but Python ----

def read_tensors(path):
    """{name: (dtype, shape, bytes)}"""
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    header.pop("__metadata__", None)
    return {name: (t["dtype"], t["shape"], data[slice(*t["data_offsets"])]) for name, t in header.items()}


def write_tensors(path, tensors):
    header, offset = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values()))


def difference(expected, actual):
    """Where two files of tensors differ, "acc: 3 of 64 differ, the first is 17"; empty: nowhere."""
    found = [f"{name} is missing" for name in expected if name not in actual]
    found += [f"{name} is too much" for name in actual if name not in expected]
    for name in expected.keys() & actual.keys():
        (dtype, shape, one), (other_dtype, other_shape, other) = expected[name], actual[name]
        if (dtype, shape) != (other_dtype, other_shape):
            found.append(f"{name} is {other_dtype} {other_shape}, not {dtype} {shape}")
        elif one != other:
            size = BYTES[dtype]
            wrong = [i for i in range(len(one) // size) if one[i * size:][:size] != other[i * size:][:size]]
            found.append(f"{name}: {len(wrong)} of {len(one) // size} differ, the first is {wrong[0]}")
    return "; ".join(sorted(found))


# ---- layers ----

def layer_file(taps, weights, site):
    """What `linear` reads: the site's input of all images as one matrix, weights and bias of its modules."""
    dtype, shape, data = taps[f"taps.{site}.input"]
    tensors = {"x": (dtype, [shape[0] * shape[1], shape[2]], data)}
    modules = [LAYER + name for name in MODULES[site[len(BLOCK):]]]
    for kind in ("weight", "bias"):
        parts = [weights[f"{module}.{kind}"] for module in modules]
        rows = sum(part[1][0] for part in parts)
        tensors[kind] = (parts[0][0], [rows, *parts[0][1][1:]], b"".join(part[2] for part in parts))
    return tensors


def layer_flags(plan, site):
    """How the plan quantizes the site, in the words of `linear`."""
    given = plan["sites"][site]["input"]
    if given["strategy"] == "tensor":
        return ["--input-scale", given["scale"]]
    clip = given.get("clip_range")
    return ["--granularity", "per-token", *(["--clip-range", clip] if clip is not None else [])]


def as_layer(taps, site):
    """The taps of a site as `linear` would have written them."""
    found = {}
    for name, tap in TAPS.items():
        dtype, shape, data = taps[f"taps.{site}.{tap}"]
        rows = [shape[0] * shape[1], *shape[2:]] if len(shape) > 1 else shape
        found[name] = (dtype, rows, data)
    return found


class Layers:
    """Runs layers of the demo's first block, and says where a device differs from the CPU."""

    def __init__(self, machine, results, clock, scratch, share):
        self.machine, self.results, self.clock, self.scratch, self.share = machine, results, clock, scratch, share
        self.cases = []  # (what, flags, file, the CPU's outcome)

    def run(self, what, *arguments, env=None):
        """Empty, or what went wrong."""
        status, said = self.machine.run("w8a8-calib", *arguments, seconds=min(30, self.clock.left(self.share)), env=env)
        self.results.log("jobs.txt", f"== {what}: {status}\n{said}")
        return "" if status == 0 else "hung" if status is None else f"exit {status}: {said[-200:]}"

    def prepare(self):
        """The cases, from a job that the CPU ran into scratch/cpu. What went wrong."""
        model, images = self.machine.folder / "demo/model", self.machine.folder / "demo/images"
        fixed = self.scratch / "layers-static.json"
        wrong = plan_from(self.run, model, self.scratch / "cpu/stats.h5", fixed, "inf")
        weights = read_tensors(model / "model.safetensors")
        for plan_file in () if wrong else (self.scratch / "cpu/plan.json", fixed):
            out = self.scratch / f"{plan_file.stem}-taps.safetensors"
            wrong = self.run("taps", "encode", "--model", str(model), "--images", str(images), "--max-images", "2",
                             "--device", "cpu", "--precision", "int8", "--plan", str(plan_file), "--layers", "none",
                             "--taps", ",".join(BLOCK + end for end in MODULES), "--quiet", "--out", str(out))
            if wrong:
                break
            wrong = self.prepare_sites(plan_file, read_tensors(out), weights)
        return wrong

    def prepare_sites(self, plan_file, taps, weights):
        plan = json.loads(plan_file.read_text(encoding="utf-8"), parse_float=str, parse_int=str)
        for site in (BLOCK + end for end in MODULES):
            what, flags = f"{plan_file.stem} {site}", layer_flags(plan, site)
            name = what.replace(" ", "-")
            file, out = self.scratch / f"{name}.safetensors", self.scratch / f"{name}-cpu.safetensors"
            write_tensors(file, layer_file(taps, weights, site))
            wrong = self.linear("cpu", file, flags, out)
            made = {} if wrong else read_tensors(out)
            apart = wrong or difference(as_layer(taps, site), {k: v for k, v in made.items() if k in TAPS})
            if apart:
                return f"{what}: {apart}"
            self.cases.append((what, flags, file, made))
        return ""

    def linear(self, device, file, flags, out, env=None):
        return self.run(f"linear on {device}", "linear", "--in", str(file), "--out", str(out), "--precision", "int8",
                        "--device", device, *flags, env=env)

    def compare(self, kernels):
        wrong, tensors = [], 0
        for done, (what, flags, file, expected) in enumerate(self.cases):
            if self.clock.left(self.share) < 3:
                self.results.add("layers", kernels, "FAILED" if wrong else "skipped",
                                 f"out of time after {done} of {len(self.cases)}; {'; '.join(wrong)}")
                return
            out = self.scratch / f"layer-{kernels}.safetensors"
            failed = self.linear("cuda", file, flags, out, {"W8A8_CUDA_KERNELS": kernels})
            apart = failed or difference(expected, read_tensors(out))
            wrong += [f"{what}: {apart}"] if apart else []
            tensors += len(expected)
        if wrong:
            self.results.add("layers", kernels, "FAILED", f"{len(wrong)} of {len(self.cases)}: {'; '.join(wrong)}")
        else:
            self.results.add("layers", kernels, "passed",
                             f"{len(self.cases)} layers, {tensors} tensors as the CPU's in every bit")


def run_layers(machine, results, clock, scratch, kernel_sets, share):
    """Of the demo's first block, per-token and by static scales, with every kernel set."""
    layers = Layers(machine, results, clock, scratch, share)
    if not (scratch / "cpu/stats.h5").exists() or clock.left(share) < 10:
        results.add("layers", "all", "skipped", "no job of the CPU, or out of time")
        return
    wrong = layers.prepare()
    if wrong:
        results.add("layers", "cpu", "FAILED", wrong)
        return
    for kernels in kernel_sets:
        layers.compare(kernels)


# ---- scales ----

def plan_from(run, model, stats, out, clip_range):
    """A per-tensor plan from statistics, by abs-max where `clip_range` is "inf", by the best rule where it is None."""
    clip = ["--clip-range", clip_range] if clip_range is not None else []
    return run("plan", "plan", "--model", str(model), "--stats", str(stats), "--granularity", "per-tensor", *clip,
               "--quiet", "--out", str(out))


def compare_scales(cpu, device):
    """What the table says of a per-tensor plan beside the CPU's, and whether its scales may be so."""
    expected, actual = cpu["sites"], device["sites"]
    fixed = lambda sites: {name for name, site in sites.items() if ((site or {}).get("input") or {}).get("scale")}
    lost = sorted(fixed(expected) ^ fixed(actual))
    if lost or not fixed(expected):
        return False, f"static scales of {len(fixed(actual))} sites, the CPU's of {len(fixed(expected))}: " + \
            ", ".join(lost or ["none"])
    scale = lambda sites, name: sites[name]["input"]["scale"]
    apart = {name: abs(scale(actual, name) / scale(expected, name) - 1) for name in fixed(expected)}
    worst = max(sorted(apart), key=apart.get)
    note = (f"scales of {len(apart)} sites at most {100 * apart[worst]:.3f} % from the CPU's "
            f"({worst}: {scale(actual, worst):.6g}, the CPU's {scale(expected, worst):.6g})")
    return apart[worst] <= MOST_SCALES_APART, note


def run_scales(machine, results, clock, scratch, kernel_sets, share):
    """From the stats.h5 that the jobs left. Abs-max decides; which clip rule is best may turn on less than it."""
    layers = Layers(machine, results, clock, scratch, share)
    model = machine.folder / "demo/model"
    for kernels in kernel_sets:
        if not all((scratch / job / "stats.h5").exists() for job in ("cpu", kernels)) or clock.left(share) < 5:
            results.add("scales", kernels, "skipped", "no statistics, or out of time")
            continue
        plans, wrong = [], ""
        for job in ("cpu", kernels):
            for clip in ("inf", None):
                out = scratch / f"scales-{job}-{clip}.json"
                wrong = wrong or plan_from(layers.run, model, scratch / job / "stats.h5", out, clip)
                plans.append(out)
        if wrong:
            results.add("scales", kernels, "FAILED", wrong)
            continue
        read = [json.loads(plan.read_text(encoding="utf-8")) for plan in plans]
        right, note = compare_scales(read[0], read[2])
        results.add("scales", kernels, "passed" if right else "FAILED",
                    f"abs-max: {note}; best rules: {compare_scales(read[1], read[3])[1]}")
