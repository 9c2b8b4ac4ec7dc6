"""A plain vision encoder in torch with the shape that w8a8-calib measured, and made weights: the
values of dense products do not change what they take."""

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, width, mlp_width, heads, tanh):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, mlp_width), nn.Linear(mlp_width, width)
        self.approximate = "tanh" if tanh else "none"

    def forward(self, x):
        images, tokens, width = x.shape
        qkv = self.qkv(self.norm1(x)).view(images, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        attended = F.scaled_dot_product_attention(q, k, v)
        x = x + self.proj(attended.transpose(1, 2).reshape(images, tokens, width))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x)), approximate=self.approximate))


class ProbeHead(nn.Module):
    """SigLIP's pooling head: one query over all tokens, then an MLP."""

    def __init__(self, width, mlp_width, heads):
        super().__init__()
        self.heads = heads
        self.probe = nn.Parameter(torch.randn(1, 1, width))
        self.q, self.kv = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.proj, self.norm = nn.Linear(width, width), nn.LayerNorm(width, eps=1e-6)
        self.fc1, self.fc2 = nn.Linear(width, mlp_width), nn.Linear(mlp_width, width)

    def forward(self, x):
        images, tokens, width = x.shape
        head = width // self.heads
        q = self.q(self.probe).view(1, 1, self.heads, head).transpose(1, 2)
        k, v = self.kv(x).view(images, tokens, 2, self.heads, head).permute(2, 0, 3, 1, 4).unbind(0)
        pooled = F.scaled_dot_product_attention(q.expand(images, -1, -1, -1), k, v)
        pooled = self.proj(pooled.transpose(1, 2).reshape(images, width))
        return pooled + self.fc2(F.gelu(self.fc1(self.norm(pooled)), approximate="tanh"))


class Encoder(nn.Module):
    def __init__(self, shape):
        super().__init__()
        width, mlp_width, heads = shape["width"], shape["mlp_width"], shape["heads"]
        patches = (shape["image_height"] // shape["patch"]) * (shape["image_width"] // shape["patch"])
        self.prefix = shape["tokens"] - patches
        tanh = shape["activation"] == "gelu_tanh"
        self.patch = nn.Conv2d(shape["channels"], width, shape["patch"], shape["patch"])
        self.tokens = nn.Parameter(torch.randn(1, self.prefix, width) * 0.02)
        self.position = nn.Parameter(torch.randn(1, shape["tokens"], width) * 0.02)
        self.blocks = nn.ModuleList(
            Block(width, mlp_width, heads, tanh) for _ in range(shape["blocks"]))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.pool = ProbeHead(width, mlp_width, heads) if shape["pool"] == "attention" else None
        self.head = nn.Linear(width, shape["classes"]) if shape["classes"] else None

    def forward(self, pixels):
        x = self.patch(pixels).flatten(2).transpose(1, 2)
        if self.prefix:
            x = torch.cat([self.tokens.expand(x.shape[0], -1, -1), x], dim=1)
        x = x + self.position
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        pooled = self.pool(x) if self.pool else x[:, 0]
        return self.head(pooled) if self.head else pooled


def make_encoder(shape):
    torch.manual_seed(1)
    return Encoder(shape).eval()


def make_images(shape, count):
    torch.manual_seed(2)
    size = (shape["channels"], shape["image_height"], shape["image_width"])
    return [torch.rand(1, *size) * 2 - 1 for _ in range(count)]


def refusal(shape):
    """Why this encoder cannot be built here, or ''."""
    if shape["activation"] not in ("gelu_tanh", "gelu_erf"):
        return f"the activation function {shape['activation']} is not built"
    if shape["other"]:
        return f"it has {shape['other']}, which is not built"
    return ""
