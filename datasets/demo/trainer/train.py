"""Trains the demo model: a SigLIP vision encoder against learned class embeddings.

    pip install -r requirements.txt
    python train.py OUT

writes OUT/model, OUT/class_embeddings.safetensors and OUT/train.log as they are here.

The objective is that of contrastive pretraining with the class rows in the place of the text
tower: softmax over temperature * cosine(pooler_output, class embedding) + bias, all learned.
AdamW, linear warm-up, cosine decay, gradient norm 1; nothing is done for or against
quantization. Images are drawn beforehand and varied by shifts and permuted colours. The last
epoch's weights are kept.

On the CPU, --workers processes of one thread each compute their part of every batch and add up
their gradients: less waiting than in one process of several threads, above all where other work
is done (four times as fast beside a compiler on two cores).
"""

import argparse
import json
import math
import multiprocessing
import pathlib
import platform
import tempfile
import time

import numpy as np
import torch
import torch.distributed
from safetensors.torch import save_file
from torch.nn import functional
from transformers import SiglipVisionConfig, SiglipVisionModel

import draw

WIDTH, BLOCKS, HEADS, MLP_WIDTH, PATCH = 144, 6, 3, 576, 16
TRAINING_IMAGES, EPOCHS = 16000, 18
BATCH = 64
LEARNING_RATE, WEIGHT_DECAY, BETAS = 1e-3, 0.05, (0.9, 0.98)
WARM_UP_STEPS = 200
HELD_OUT_IMAGES = 1200


def sine_positions():
    """Position embeddings to start from: sines and cosines of row and column, as in MAE."""
    side = draw.MODEL_SIDE // PATCH
    frequencies = 10.0 ** (-2.0 * torch.arange(WIDTH // 4) / (WIDTH // 4))
    angles = torch.arange(side)[:, None] * frequencies[None, :]
    waves = torch.cat([angles.sin(), angles.cos()], 1)
    rows = waves[:, None, :].expand(side, side, -1)
    columns = waves[None, :, :].expand(side, side, -1)
    return 0.25 * torch.cat([rows, columns], 2).reshape(side * side, WIDTH)


class Scorer(torch.nn.Module):
    """The encoder and what stands for the text tower."""

    def __init__(self):
        super().__init__()
        self.encoder = SiglipVisionModel(
            SiglipVisionConfig(
                hidden_size=WIDTH,
                intermediate_size=MLP_WIDTH,
                num_hidden_layers=BLOCKS,
                num_attention_heads=HEADS,
                image_size=draw.MODEL_SIDE,
                patch_size=PATCH,
            )
        )
        with torch.no_grad():
            self.encoder.embeddings.position_embedding.weight.copy_(sine_positions())
        self.class_embeddings = torch.nn.Parameter(torch.randn(len(draw.CLASSES), WIDTH))
        self.log_temperature = torch.nn.Parameter(torch.tensor(math.log(10.0)))
        self.bias = torch.nn.Parameter(torch.zeros(len(draw.CLASSES)))

    def features(self, images):
        return self.encoder(pixel_values=images).pooler_output

    def cosines(self, images):
        rows = functional.normalize(self.class_embeddings, dim=-1)
        return functional.normalize(self.features(images), dim=-1) @ rows.T

    def forward(self, images):
        return self.cosines(images) * self.log_temperature.exp() + self.bias


def _drawn(job):
    split, index = job
    return draw.model_input(draw.draw_image(split, index))


def draw_split(split, count, workers):
    """uint8 [count, 3, 64, 64] and int64 [count]."""
    with multiprocessing.Pool(workers) as pool:
        images = pool.map(_drawn, [(split, i) for i in range(count)], chunksize=64)
    images = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    return images, torch.arange(count) % len(draw.CLASSES)


def to_model(images):
    """Mean and standard deviation 0.5, as preprocessor_config.json says."""
    return (images.float() / 255.0 - 0.5) / 0.5


def _shifted(images, rng, reach=4):
    """All images of the batch moved by the same 0 to `reach` pixels; edges repeat."""
    padded = functional.pad(images, (reach,) * 4, mode="replicate")
    dy, dx = rng.integers(0, 2 * reach + 1, 2)
    side = images.shape[-1]
    return padded[:, :, dy : dy + side, dx : dx + side]


def augmented(images, rng):
    """A varied batch; one shift and one permutation of colours for each eighth of it."""
    parts = []
    for part in to_model(images).chunk(8):
        parts.append(_shifted(part[:, rng.permutation(3)], rng))
    return torch.cat(parts)


def parameter_groups(model):
    """Weight decay for matrices only, as usual: not for norms, biases and scalars."""
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    return [
        {"params": decayed, "weight_decay": WEIGHT_DECAY},
        {"params": others, "weight_decay": 0.0},
    ]


def learning_rate_factor(step, steps):
    if step < WARM_UP_STEPS:
        return (step + 1) / WARM_UP_STEPS
    return 0.5 + 0.5 * math.cos(math.pi * (step - WARM_UP_STEPS) / (steps - WARM_UP_STEPS))


@torch.no_grad()
def accuracy(model, images, labels):
    """Zero-shot top-1 by cosine, and the hits of each class."""
    model.eval()
    best = torch.cat([model.cosines(to_model(part)).argmax(-1).cpu() for part in images.split(400)])
    model.train()
    hits = (best == labels.cpu()).float()
    by_class = [hits[labels.cpu() == c].mean().item() for c in range(len(draw.CLASSES))]
    return hits.mean().item(), by_class


def write_outputs(model, folder):
    """The Hugging Face folder in FP16 and the class embeddings in FP32."""
    target = folder / "model"
    half = SiglipVisionModel(model.encoder.config)
    half.load_state_dict(model.encoder.state_dict())
    half.half().save_pretrained(target)
    processor = {
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_processor_type": "SiglipImageProcessor",
        "image_std": [0.5, 0.5, 0.5],
        "resample": 3,
        "rescale_factor": 0.00392156862745098,
        "size": {"height": draw.MODEL_SIDE, "width": draw.MODEL_SIDE},
    }
    (target / "preprocessor_config.json").write_text(json.dumps(processor, indent=2) + "\n")
    rows = model.class_embeddings.detach().cpu()
    rows = functional.normalize(rows, dim=-1).contiguous()
    metadata = {"classes": json.dumps(list(draw.CLASSES))}
    save_file({"class_embeddings": rows}, folder / "class_embeddings.safetensors", metadata)


class Log:
    """Lines for the screen and a file, of the first worker only."""

    def __init__(self, path, rank):
        self._file = open(path, "a", encoding="utf-8") if rank == 0 else None

    def line(self, text):
        if self._file is None:
            return
        print(text, flush=True)
        self._file.write(text + "\n")
        self._file.flush()


def processor_name():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def add_up_gradients(model, workers):
    """The mean of the workers' gradients, in every worker."""
    if workers == 1:
        return
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([g.reshape(-1) for g in gradients])
    torch.distributed.all_reduce(flat)
    flat /= workers
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients])):
        gradient.copy_(part.view_as(gradient))


def train_epoch(model, data, optimizer, epoch, rank, arguments):
    """Mean loss and training accuracy (of this worker's parts) of one pass over the images."""
    images, labels = data
    steps = len(images) // BATCH
    order = np.random.default_rng((arguments.seed, epoch)).permutation(len(images))
    order = torch.from_numpy(order).to(labels.device)
    rng = np.random.default_rng((arguments.seed, epoch, rank))
    losses, hits = 0.0, 0.0
    for i in range(steps):
        factor = learning_rate_factor(epoch * steps + i, steps * arguments.epochs)
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * factor
        chosen = order[i * BATCH : (i + 1) * BATCH].chunk(arguments.workers)[rank]
        scores = model(augmented(images[chosen], rng))
        loss = functional.cross_entropy(scores, labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        add_up_gradients(model, arguments.workers)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses += loss.item()
        hits += (scores.argmax(-1) == labels[chosen]).float().mean().item()
    return losses / steps, hits / steps


def train(rank, meeting_point, data, arguments):
    """One worker's training; the first one logs, measures and writes."""
    if arguments.workers > 1:
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{meeting_point}", rank=rank, world_size=arguments.workers
        )
    torch.manual_seed(arguments.seed)
    log = Log(arguments.out / "train.log", rank)
    model = Scorer().to(data["train"][0].device)
    log.line(f"{sum(p.numel() for p in model.encoder.parameters())} parameters of the encoder")
    optimizer = torch.optim.AdamW(parameter_groups(model), lr=LEARNING_RATE, betas=BETAS)
    started = time.monotonic()
    for epoch in range(arguments.epochs):
        loss, hits = train_epoch(model, data["train"], optimizer, epoch, rank, arguments)
        if rank > 0:
            continue
        top1, _ = accuracy(model, *data["held_out"])
        log.line(
            f"epoch {epoch + 1:3d}  loss {loss:.4f}  train top-1 {100 * hits:5.2f} %"
            f"  held-out top-1 {100 * top1:5.2f} %"
            f"  temperature {model.log_temperature.exp().item():5.2f}"
            f"  {time.monotonic() - started:6.0f} s"
        )
        write_outputs(model, arguments.out)
    if rank == 0:
        log_accuracy(model, data, log)


def log_accuracy(model, data, log):
    for name in ("held_out", "eval"):
        top1, by_class = accuracy(model, *data[name])
        log.line(f"{name}: top-1 {100 * top1:.2f} % of {len(data[name][1])} images, FP32")
        classes = zip(draw.CLASSES, by_class)
        log.line("  " + ", ".join(f"{c} {100 * hit:.1f}" for c, hit in classes))


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--images", type=int, default=TRAINING_IMAGES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    arguments.workers = 1 if torch.cuda.is_available() else arguments.workers
    return arguments


def main():
    arguments = parse_arguments()
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "train.log").unlink(missing_ok=True)
    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    log = Log(arguments.out / "train.log", rank=0)
    machine = f"{device}, {processor_name()}, {arguments.workers} workers"
    log.line(f"torch {torch.__version__}, {machine}")
    log.line(
        f"seed {arguments.seed}, drawing seed {draw.SEED}, {arguments.images} training images,"
        f" {HELD_OUT_IMAGES} held out, {arguments.epochs} epochs, batch {BATCH}"
    )
    started = time.monotonic()
    splits = {"train": arguments.images, "held_out": HELD_OUT_IMAGES, "eval": draw.EVAL_IMAGES}
    data = {
        name: tuple(part.to(device) for part in draw_split(name, count, 2))
        for name, count in splits.items()
    }
    log.line(f"images drawn in {time.monotonic() - started:.0f} s")
    with tempfile.TemporaryDirectory() as meeting_folder:
        rest = (f"{meeting_folder}/meeting", data, arguments)
        context = multiprocessing.get_context("fork")
        ranks = range(1, arguments.workers)
        others = [context.Process(target=train, args=(rank, *rest)) for rank in ranks]
        for process in others:
            process.start()
        train(0, *rest)
        for process in others:
            process.join()
    log.line(f"wall time {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
