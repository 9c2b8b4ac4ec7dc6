"""Towers with experts in torch, against `encode --precision fp16`.

Opt-in (W8A8_REQUIRE=python), because it needs torch. The tower is transformers' SiglipVisionModel
whose feed-forward steps are transformers' Qwen2MoeSparseMoeBlock where the experts are gated, and
else CuMo's loop over plain experts. Run in binary64 it is exact; run in FP16 it is what torch makes
of the same operands: our error against the exact values is at most twice torch's (TwiceNaive), over
the images whose every token went to the same experts in all three. The experts of binary64 are ours
on all but a few tokens, whose logits are near a tie.
"""

import pathlib
import sys
import tempfile

import numpy as np
import torch
import transformers as tf
from safetensors.numpy import save_file
from transformers.models.qwen2_moe.modeling_qwen2_moe import Qwen2MoeSparseMoeBlock

import mixture_oracle as towers

IMAGES = 24
CASES = ("plain", "one of four", "all of three", "gated", "gated, renormalized")


class PlainExperts(torch.nn.Module):
    """CuMo's step: softmax over all experts in binary32, the chosen renormalized where asked for,
    experts one after the other."""

    def __init__(self, tower):
        super().__init__()
        self.gate = torch.nn.Linear(towers.WIDTH, tower.experts, bias=False)
        self.experts = torch.nn.ModuleList(
            torch.nn.ModuleDict({
                "fc1": torch.nn.Linear(towers.WIDTH, towers.EXPERT_WIDTH),
                "fc2": torch.nn.Linear(towers.EXPERT_WIDTH, towers.WIDTH),
            })
            for _ in range(tower.experts)
        )
        self.tower = tower

    def forward(self, x):
        exact = x.dtype == torch.float64
        softmax = torch.softmax(self.gate(x), -1, dtype=torch.float64 if exact else torch.float32)
        weights, chosen = torch.topk(softmax, self.tower.chosen, dim=-1)
        if self.tower.renormalized:
            weights = weights / weights.sum(-1, keepdim=True)
        self.chosen = chosen
        result = torch.zeros_like(x)
        for e, expert in enumerate(self.experts):
            mine = chosen == e
            rows = mine.any(-1)
            hidden = torch.nn.functional.gelu(expert["fc1"](x[rows]), approximate="tanh")
            weight = (weights * mine).sum(-1)[rows].to(x.dtype)
            result[rows] = result[rows] + weight[:, None] * expert["fc2"](hidden)
        return result


class GatedExperts(torch.nn.Module):
    """transformers' own block, and which experts it chose."""

    def __init__(self, tower):
        super().__init__()
        self.block = Qwen2MoeSparseMoeBlock(tf.Qwen2MoeConfig(
            hidden_size=towers.WIDTH, num_experts=tower.experts, num_experts_per_tok=tower.chosen,
            norm_topk_prob=tower.renormalized, moe_intermediate_size=towers.EXPERT_WIDTH,
            shared_expert_intermediate_size=towers.SHARED_WIDTH, hidden_act="silu"))
        self.k = tower.chosen
        self.block.gate.register_forward_pre_hook(self.note)

    def note(self, gate, inputs):
        self.chosen = torch.topk(inputs[0] @ gate.weight.T, self.k, dim=-1).indices

    def forward(self, x):
        result = self.block(x)
        return result[0] if isinstance(result, tuple) else result


def torch_tower(tower, dtype):
    config = tf.SiglipVisionConfig(
        hidden_size=towers.WIDTH, intermediate_size=80, num_hidden_layers=towers.BLOCKS,
        num_attention_heads=2, image_size=32, patch_size=8, vision_use_head=False,
        attn_implementation="eager")
    model = tf.SiglipVisionModel(config)
    inner = getattr(model, "vision_model", model)
    state = {k: torch.from_numpy(v) for k, v in tower.tensors.items()}
    for block, layer in enumerate(inner.encoder.layers):
        stem = f"encoder.layers.{block}.mlp."
        layer.mlp = GatedExperts(tower) if tower.gated else PlainExperts(tower)
        if tower.gated:
            mine = {k.removeprefix(stem): state.pop(k) for k in list(state) if k.startswith(stem)}
            mine["experts.gate_up_proj"] = mine.pop("experts.w13_weight")
            mine["experts.down_proj"] = mine.pop("experts.w2_weight")
            layer.mlp.block.load_state_dict(mine)
    missing = inner.load_state_dict(state, strict=False)
    assert not missing.unexpected_keys, missing.unexpected_keys
    assert all(".mlp.block." in key for key in missing.missing_keys), missing.missing_keys
    return inner.eval().to(dtype)


def run(model, embeds, dtype):
    """The states behind the last block and the experts of every token by block, sorted."""
    states, chosen = [], []
    with torch.no_grad():
        for image in embeds:
            x = torch.from_numpy(image)[None].to(dtype)
            experts = []
            for layer in model.encoder.layers:
                x = layer(x, attention_mask=None)
                x = x[0] if isinstance(x, tuple) else x
                experts.append(layer.mlp.chosen.reshape(towers.TOKENS, -1).sort(-1).values.numpy())
            states.append(x[0].double().numpy())
            chosen.append(np.stack(experts))
    return np.stack(states), np.stack(chosen)


def rms(values):
    return float(np.sqrt(np.mean(np.square(values))))


def check_case(name):
    tower = towers.Tower(name)
    embeds = np.random.default_rng(8).standard_normal((IMAGES, towers.TOKENS, towers.WIDTH))
    embeds = embeds.astype(np.float16).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder_name:
        folder = pathlib.Path(folder_name)
        tower.write(folder / "model")
        save_file({"inputs_embeds": embeds}, folder / "embeds.safetensors")
        ours = towers.encode(folder, "fp16", tower, "--precision", "fp16", "--layers", "all")
    states = ours[f"hidden_states.{towers.BLOCKS}"].astype(np.float64)
    experts = np.stack([ours[f"routing.{b}.experts"] for b in range(towers.BLOCKS)], axis=1)
    exact, exact_experts = run(torch_tower(tower, torch.float64), embeds, torch.float64)
    naive, naive_experts = run(torch_tower(tower, torch.float16), embeds, torch.float16)
    same = ((experts == exact_experts) & (naive_experts == exact_experts)).all(axis=(1, 2, 3))
    agree = float((experts == exact_experts).all(axis=-1).mean())
    error, torch_error = rms((states - exact)[same]), rms((naive - exact)[same])
    print(f"{name}: {int(same.sum())} of {IMAGES} images with equal experts ({agree:.2%} of tokens); "
          f"error {error:.3g}, torch FP16 {torch_error:.3g}")
    problems = []
    if same.sum() * 2 < IMAGES:
        problems.append(f"{name}: only {int(same.sum())} images with equal experts")
    if not error <= 2 * torch_error:
        problems.append(f"{name}: {error:.3g} is more than twice torch's {torch_error:.3g}")
    tower.tensors["encoder.layers.1.mlp.gate.weight"][:] *= -1
    other, _ = run(torch_tower(tower, torch.float64), embeds[:2], torch.float64)
    if tower.chosen < tower.experts and rms(states[:2] - other) <= 2 * torch_error:
        problems.append(f"{name}: a router turned round went unnoticed")
    return problems


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    problems = [text for name in CASES for text in check_case(name)]
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
