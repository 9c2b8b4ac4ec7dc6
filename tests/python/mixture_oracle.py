"""mixture_oracle.py: moe.md sections 4 and 5 in numpy, against `encode` on towers with experts.

From the program's own taps: the experts of every token and their weights, the codes, accumulators
and outputs of both products of every expert, and the weighted sum with the residual step, in every
bit, for `int8` on each usable kernel set and for `emulated`, which write equal files. Ties, a zero
router, logits tens apart, one expert, all experts, an expert that nobody reaches, gated experts
with a shared one. Shares no code with the project but the three constants of its exponential.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from safetensors.numpy import load_file, save_file

from exact_arithmetic import check_fma, fma
from linear_oracle import quantize_rows, quantize_weights, usable_kernel_sets
from tensor_differences import differences

F32 = np.float32
WIDTH, BLOCKS, TOKENS, IMAGES, EXPERT_WIDTH, SHARED_WIDTH = 48, 2, 16, 2, 40, 24
LARGEST = np.finfo(np.float32).max

# Experts, chosen, renormalized, gated; what the router's rows are made to be.
CASES = {
    "plain": (4, 2, True, False, "random"),
    "one of four": (4, 1, False, False, "random"),
    "all of three": (3, 3, False, False, "random"),
    "one expert": (1, 1, True, False, "random"),
    "zero router": (4, 2, True, False, "zero"),
    "equal rows": (5, 3, True, False, "equal"),
    "far apart": (4, 2, True, False, "far"),
    "gated": (4, 2, False, True, "random"),
    "gated, renormalized": (6, 2, True, True, "random"),
}


# ---- the contract ----


def row_sum(terms):
    """numerics.md, "Row sums", over 256 partial sums [rows, 256]."""
    s = terms.copy()
    index = np.arange(256)
    for h in (4, 2, 1):
        low = index[index % 8 < h]
        s[:, low] = s[:, low] + s[:, low + h]
    for h in (128, 64, 32, 16, 8):
        low = index[(index % 8 == 0) & (index < h)]
        s[:, low] = s[:, low] + s[:, low + h]
    return s[:, 0]


def row_products(x, weight):
    """[rows, count] of x [rows, K] and weight [count, K], both FP16 values in binary32."""
    products = []
    for w in weight:
        s = np.zeros((len(x), 256), F32)
        for k in range(x.shape[1]):
            s[:, k % 256] = fma(x[:, k], w[k], s[:, k % 256])
        products.append(row_sum(s))
    return np.stack(products, axis=1)


def exp_nonpositive(x):
    """exp for x <= 0 as the scalar kernel defines it: 2^n times a polynomial of degree 5 of 2^f."""
    inv_ln2, magic = F32(float.fromhex("0x1.715476p0")), F32(1.5 * 2**23)
    with np.errstate(invalid="ignore", over="ignore"):
        shifted = fma(x, inv_ln2, magic)
        f = fma(x, inv_ln2, magic - shifted)
        total = np.full_like(x, F32(float.fromhex("0x1.5bb9e6p-10")))
        for p in ("0x1.3ceab6p-7", "0x1.c6b754p-5", "0x1.ebf9bcp-3", "0x1.62e42ap-1", "0x1p0"):
            total = fma(total, f, F32(float.fromhex(p)))
        power = total.view(np.uint32) + (shifted.view(np.uint32) << np.uint32(23))
    return np.where(x < F32(-87), F32(0), power.view(F32))


def choose(logits, chosen, renormalized):
    """Experts [rows, chosen], ascending, and their weights."""
    logits = np.where(np.isnan(logits), -LARGEST, np.clip(logits, -LARGEST, LARGEST)).astype(F32)
    experts = np.sort(np.argsort(-logits, axis=1, kind="stable")[:, :chosen], axis=1)
    p = exp_nonpositive(logits - logits.max(axis=1, keepdims=True))
    z = np.zeros(len(p), F32)
    for e in range(p.shape[1]):
        z = z + p[:, e]
    weights = np.take_along_axis(p, experts, axis=1) / z[:, None]
    if renormalized:
        q = np.zeros(len(p), F32)
        for i in range(chosen):
            q = q + weights[:, i]
        weights = weights / q[:, None]
    return experts, weights


def product(x, weight, bias):
    """codes, scales, accumulators and FP16 outputs of a W8A8 product per token."""
    weight_codes, weight_scale = quantize_weights(weight.astype(F32))
    codes, scale, _ = quantize_rows(x, np.inf, None)
    acc = (codes.astype(np.float64) @ weight_codes.astype(np.float64).T).astype(np.int32)
    bias = np.zeros(len(weight), F32) if bias is None else bias.astype(F32)
    y = fma(acc.astype(F32) * weight_scale, scale[:, None], bias).astype(np.float16)
    return {"codes": codes, "input_scale": scale, "acc": acc, "output": y}


# ---- towers ----


class Tower:
    def __init__(self, name):
        self.experts, self.chosen, self.renormalized, self.gated, self.router = CASES[name]
        self.rng = np.random.default_rng(len(name) * 1000 + self.experts)
        self.tensors = {}
        self.add_dense()
        for block in range(BLOCKS):
            self.add_experts(f"encoder.layers.{block}.mlp.")

    def add(self, key, *shape, scale=None):
        values = self.rng.standard_normal(shape) * (scale or (shape[-1] ** -0.5))
        self.tensors[key] = values.astype(np.float16)

    def add_dense(self):
        self.add("embeddings.patch_embedding.weight", WIDTH, 3, 8, 8)
        self.add("embeddings.patch_embedding.bias", WIDTH)
        self.add("embeddings.position_embedding.weight", TOKENS, WIDTH)
        for block in range(BLOCKS):
            stem = f"encoder.layers.{block}."
            for norm in ("layer_norm1", "layer_norm2"):
                self.add(f"{stem}{norm}.weight", WIDTH, scale=1.0)
                self.add(f"{stem}{norm}.bias", WIDTH, scale=0.3)
            for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
                self.add(f"{stem}self_attn.{part}.weight", WIDTH, WIDTH)
                self.add(f"{stem}self_attn.{part}.bias", WIDTH, scale=0.1)
        self.add("post_layernorm.weight", WIDTH, scale=1.0)
        self.add("post_layernorm.bias", WIDTH, scale=0.1)

    def add_experts(self, stem):
        self.add(f"{stem}gate.weight", self.experts, WIDTH)
        gate = self.tensors[f"{stem}gate.weight"]
        if self.router == "zero":
            gate[:] = 0
        if self.router == "equal":
            gate[:] = gate[:1]
        if self.router == "far":
            gate *= 60
        if self.gated:
            self.add(f"{stem}experts.w13_weight", self.experts, 2 * EXPERT_WIDTH, WIDTH)
            self.add(f"{stem}experts.w2_weight", self.experts, WIDTH, EXPERT_WIDTH)
            for part, shape in (("gate_proj", (SHARED_WIDTH, WIDTH)), ("up_proj", (SHARED_WIDTH, WIDTH)),
                                ("down_proj", (WIDTH, SHARED_WIDTH))):
                self.add(f"{stem}shared_expert.{part}.weight", *shape)
            self.add(f"{stem}shared_expert_gate.weight", 1, WIDTH)
            return
        for e in range(self.experts):
            self.add(f"{stem}experts.{e}.fc1.weight", EXPERT_WIDTH, WIDTH)
            self.add(f"{stem}experts.{e}.fc1.bias", EXPERT_WIDTH, scale=0.1)
            self.add(f"{stem}experts.{e}.fc2.weight", WIDTH, EXPERT_WIDTH)
            self.add(f"{stem}experts.{e}.fc2.bias", WIDTH, scale=0.1)

    def layer(self, stem, expert, part):
        """weight and bias of an expert's "fc1" or "fc2"; `expert` None is the shared one."""
        t = self.tensors
        if expert is None:
            shared = f"{stem}shared_expert."
            if part == "fc2":
                return t[f"{shared}down_proj.weight"], None
            return np.concatenate([t[f"{shared}{p}_proj.weight"] for p in ("gate", "up")]), None
        if self.gated:
            return t[f"{stem}experts.{'w13' if part == 'fc1' else 'w2'}_weight"][expert], None
        layer = f"{stem}experts.{expert}.{part}."
        return t[f"{layer}weight"], t[f"{layer}bias"]

    def write(self, folder):
        folder.mkdir()
        config = {
            "model_type": "siglip_vision_model", "architectures": ["SiglipVisionModel"],
            "hidden_size": WIDTH, "intermediate_size": 80, "num_attention_heads": 2,
            "num_hidden_layers": BLOCKS, "image_size": 32, "patch_size": 8, "num_channels": 3,
            "layer_norm_eps": 1e-6, "vision_use_head": False,
            "hidden_act": "silu" if self.gated else "gelu_pytorch_tanh",
            "num_experts": self.experts, "num_experts_per_tok": self.chosen,
            "norm_topk_prob": self.renormalized, "moe_intermediate_size": EXPERT_WIDTH,
        }
        if self.gated:
            config["shared_expert_intermediate_size"] = SHARED_WIDTH
        (folder / "config.json").write_text(json.dumps(config))
        save_file({f"vision_model.{k}": v for k, v in self.tensors.items()},
                  folder / "model.safetensors")

    def sites(self, block):
        stem = f"blocks.{block}.mlp."
        names = [f"{stem}experts.{e}.{p}" for e in range(self.experts) for p in ("fc1", "fc2")]
        return names + [f"{stem}shared_expert.{p}" for p in ("fc1", "fc2") if self.gated]


def encode(folder, out, tower, *flags):
    taps = [f"blocks.{b}.attn.proj" for b in range(BLOCKS)]
    taps += [site for b in range(BLOCKS) for site in tower.sites(b)]
    command = [os.environ["W8A8_BINARY"], "encode", "--model", folder / "model", "--embeds",
               folder / "embeds.safetensors", "--taps", ",".join(taps), "--quiet",
               "--out", folder / out, *flags]
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)
    return load_file(folder / out)


# ---- what is compared ----


class Block:
    """What the program wrote about one block, in rows of all images."""

    def __init__(self, tower, written, block):
        self.tower, self.block = tower, block
        self.stem = f"encoder.layers.{block}.mlp."
        self.written = written
        self.found_experts = self.rows(f"routing.{block}.experts")
        self.found_weights = self.rows(f"routing.{block}.weights")

    def rows(self, name):
        value = self.written[name]
        return value.reshape(IMAGES * TOKENS, *value.shape[2:])

    def tap(self, expert, part, name):
        layer = "shared_expert" if expert is None else f"experts.{expert}"
        return self.rows(f"taps.blocks.{self.block}.mlp.{layer}.{part}.{name}")

    def routed(self, expert):
        if expert is None:
            return np.ones(IMAGES * TOKENS, bool)
        return (self.found_experts == expert).any(axis=1)

    def normed(self):
        """The rows behind the second norm: what the experts of a token got."""
        x = np.zeros((IMAGES * TOKENS, WIDTH), np.float16)
        for e in range(self.tower.experts):
            if self.routed(e).any():
                x = np.where(self.routed(e)[:, None], self.tap(e, "fc1", "input"), x)
        return x

    def check_routing(self):
        gate = self.tower.tensors[f"{self.stem}gate.weight"].astype(F32)
        logits = row_products(self.normed().astype(F32), gate)
        experts, weights = choose(logits, self.tower.chosen, self.tower.renormalized)
        return differences(
            {"experts": experts.astype(np.int32), "weights": weights},
            {"experts": self.found_experts, "weights": self.found_weights},
        )

    def check_expert(self, expert):
        """Both products of the rows that came, and zeros where none did."""
        routed, wrong = self.routed(expert), []
        if not routed.any():
            names = ("input", "output", "codes", "input_scale", "acc")
            taps = [self.tap(expert, p, n) for p in ("fc1", "fc2") for n in names]
            return [f"expert {expert} got no token but has values" for t in taps if t.any()]
        for part in ("fc1", "fc2"):
            names = ("codes", "input_scale", "acc", "output")
            actual = {name: self.tap(expert, part, name) for name in names}
            x = self.tap(expert, part, "input")
            expected = product(x[routed], *self.tower.layer(self.stem, expert, part))
            for name, value in expected.items():
                whole = np.zeros_like(actual[name])
                whole[routed] = value
                wrong += [f"expert {expert} {part}: {text}"
                          for text in differences({name: whole}, {name: actual[name]})]
        if expert is not None:
            mine = np.where(routed[:, None], self.normed(), np.float16(0))
            wrong += differences({"input": mine}, {"input": self.tap(expert, "fc1", "input")})
        return wrong

    def sum_of_experts(self):
        total = np.zeros((IMAGES * TOKENS, WIDTH), F32)
        for e in range(self.tower.experts):
            routed = self.routed(e)
            if not routed.any():
                continue
            weight = (self.found_weights * (self.found_experts == e)).sum(axis=1).astype(F32)
            y = self.tap(e, "fc2", "output").astype(F32)
            total[routed] = fma(weight[routed, None], y[routed], total[routed])
        if self.tower.gated:
            gate = self.tower.tensors[f"{self.stem}shared_expert_gate.weight"].astype(F32)
            v = row_products(self.normed().astype(F32), gate)[:, 0]
            power = exp_nonpositive(-np.abs(v))
            weight = np.where(v >= 0, F32(1) / (F32(1) + power), power / (F32(1) + power))
            total = fma(weight[:, None], self.tap(None, "fc2", "output").astype(F32), total)
        return total.astype(np.float16)

    def check_sum(self):
        """The stream behind the block: two residual steps with an FP16 rounding each."""
        def add(x, y):
            return (x.astype(F32) + y.astype(F32)).astype(np.float16)

        stream = self.rows(f"hidden_states.{self.block}")
        attended = self.rows(f"taps.blocks.{self.block}.attn.proj.output")
        expected = add(add(stream, attended), self.sum_of_experts())
        return differences({"stream": expected},
                           {"stream": self.rows(f"hidden_states.{self.block + 1}")})

    def check(self):
        experts = list(range(self.tower.experts)) + ([None] if self.tower.gated else [])
        wrong = self.check_routing() + self.check_sum()
        for expert in experts:
            wrong += self.check_expert(expert)
        return [f"block {self.block}: {text}" for text in wrong]


def rms(values):
    return float(np.sqrt(np.mean(np.square(values.astype(np.float64)))))


def check_weight_only(name, tower, written):
    """W8A16, what vLLM runs on CUDA: TwiceNaive over all experts, the codes' products in binary32."""
    error, naive_error = [], []
    for block in range(BLOCKS):
        for expert in range(tower.experts):
            seen = Block(tower, written, block)
            routed = seen.routed(expert)
            if not routed.any():
                continue
            for part in ("fc1", "fc2"):
                x = seen.tap(expert, part, "input")[routed].astype(F32)
                weight, bias = tower.layer(seen.stem, expert, part)
                codes, scale = quantize_weights(weight.astype(F32))
                bias = np.zeros(len(weight), F32) if bias is None else bias.astype(F32)
                exact = x.astype(np.float64) @ codes.astype(np.float64).T * scale + bias
                naive = np.zeros((len(x), len(weight)), F32)
                for k in range(x.shape[1]):
                    naive = naive + x[:, k, None] * codes[None, :, k].astype(F32)
                naive = fma(naive, scale, bias).astype(np.float16)
                y = seen.tap(expert, part, "output")[routed]
                error.append((y - exact).ravel())
                naive_error.append((naive - exact).ravel())
    actual, allowed = rms(np.concatenate(error)), 2 * rms(np.concatenate(naive_error))
    return [] if actual <= allowed else [f"{name}: W8A16 is {actual:.3g} wrong, allowed {allowed:.3g}"]


def check_case(name, kernel_sets):
    tower = Tower(name)
    with tempfile.TemporaryDirectory() as folder_name, np.errstate(all="ignore"):
        folder = pathlib.Path(folder_name)
        tower.write(folder / "model")
        embeds = np.random.default_rng(3).standard_normal((IMAGES, TOKENS, WIDTH)).astype(F32)
        embeds[0, 3] = 0
        save_file({"inputs_embeds": embeds}, folder / "embeds.safetensors")
        wrong = []
        for kernels in kernel_sets:  # whose float products, attention's among them, differ
            written = encode(folder, f"emulated {kernels}", tower, "--precision", "emulated",
                             "--kernels", kernels)
            for block in range(BLOCKS):
                wrong += [f"{kernels}: {t}" for t in Block(tower, written, block).check()]
            other = encode(folder, kernels, tower, "--precision", "int8", "--kernels", kernels)
            wrong += [f"{kernels}: {text}" for text in differences(written, other)]
            other = encode(folder, "w8a16", tower, "--precision", "int8", "--scheme", "w8a16",
                           "--kernels", kernels)
            wrong += check_weight_only(kernels, tower, other)
    return [f"{name}: {text}" for text in wrong], sum(value.size for value in written.values())


def check_that_it_can_fail():
    tower = Tower("plain")
    with tempfile.TemporaryDirectory() as folder_name:
        folder = pathlib.Path(folder_name)
        tower.write(folder / "model")
        embeds = np.random.default_rng(3).standard_normal((IMAGES, TOKENS, WIDTH)).astype(F32)
        save_file({"inputs_embeds": embeds}, folder / "embeds.safetensors")
        written = encode(folder, "int8", tower, "--precision", "int8")
    gate = tower.tensors["encoder.layers.0.mlp.gate.weight"]
    gate[[0, 1]] = gate[[1, 0]]
    assert Block(tower, written, 0).check_routing(), "two exchanged experts went unnoticed"


def main():
    check_fma()
    check_that_it_can_fail()
    kernel_sets = usable_kernel_sets()
    problems, compared = [], 0
    for name in CASES:
        wrong, count = check_case(name, kernel_sets)
        problems += wrong
        compared += count
    print(f"{len(CASES)} towers, sets {', '.join(kernel_sets)} and emulated: {compared} numbers")
    if problems:
        sys.exit("\n".join(problems[:20]) + f"\n{len(problems)} differences")


if __name__ == "__main__":
    main()
