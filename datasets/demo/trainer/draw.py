"""Draws the demo's images: 12 classes of shapes and textures, from a seed, with numpy and Pillow.

    python draw.py OUT      writes OUT/calib/<class>/*.png (64) and OUT/eval/<class>/*.png (240)

An image is a function of (SEED, split, index): no split shares a random stream with another, and
the class is index % 12. Eight classes are upright shapes filled with a gradient, four are textures
inside a crooked blob; the hue of every part is drawn without regard to the class. Objects are
brighter than the background. Every image has clutter, half of them an occluder in front, and a
light that falls off across it, blur and noise.
"""

import pathlib
import sys

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SEED = 20260
SIDE = 72  # pixels of an image; the encoder reads 64, so that a real resize takes place
MODEL_SIDE = 64
OVERSAMPLING = 2
MAX_TURN = 0.45  # radians that an object is turned from upright
SHAPES = ("arrow", "crescent", "cross", "disc", "ring", "square", "star", "triangle")
TEXTURES = ("checkers", "dots", "stripes", "waves")
CLASSES = tuple(sorted(SHAPES + TEXTURES))
SPLITS = {"train": 0, "held_out": 1, "calib": 2, "eval": 3}
CALIB_IMAGES, EVAL_IMAGES = 64, 240

_GRID_Y, _GRID_X = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) / (SIDE - 1) - 0.5


def _polar(radii, angles, center):
    """Vertices in oversampled pixels of a polygon given by radius and angle."""
    x = center[0] + radii * np.cos(angles)
    y = center[1] + radii * np.sin(angles)
    return [(float(a) * OVERSAMPLING, float(b) * OVERSAMPLING) for a, b in zip(x, y)]


def _rotated(points, size, turn, center):
    """Vertices in oversampled pixels of `points` (unit square, y down) turned and scaled."""
    points = np.asarray(points, np.float32) * size
    cos, sin = np.cos(turn), np.sin(turn)
    x = center[0] + points[:, 0] * cos - points[:, 1] * sin
    y = center[1] + points[:, 0] * sin + points[:, 1] * cos
    return [(float(a) * OVERSAMPLING, float(b) * OVERSAMPLING) for a, b in zip(x, y)]


def _circle(draw, center, radius, fill):
    x, y, r = (v * OVERSAMPLING for v in (center[0], center[1], radius))
    draw.ellipse((x - r, y - r, x + r, y + r), fill=fill)


def _draw_round_shape(draw, name, rng, center, radius, turn):
    _circle(draw, center, radius, 255)
    if name == "ring":
        _circle(draw, center, radius * rng.uniform(0.45, 0.72), 0)
    elif name == "crescent":
        away = radius * rng.uniform(0.45, 0.65)
        hole = (center[0] + away * np.cos(turn), center[1] + away * np.sin(turn))
        _circle(draw, hole, radius * rng.uniform(0.75, 0.9), 0)


def _shape_vertices(name, rng, center, radius, turn):
    if name == "square":
        flat = rng.uniform(0.8, 1.0) * 0.8
        corners = [(-0.8, -flat), (0.8, -flat), (0.8, flat), (-0.8, flat)]
        return _rotated(corners, radius, turn, center)
    if name == "triangle":
        angles = turn - np.pi / 2 + np.arange(3) * (2 * np.pi / 3) + rng.uniform(-0.2, 0.2, 3)
        return _polar(np.full(3, radius * 1.1), angles, center)
    if name == "star":
        points = 5
        inner = radius * rng.uniform(0.4, 0.5)
        radii = np.where(np.arange(2 * points) % 2 == 0, radius * 1.1, inner)
        angles = turn - np.pi / 2 + np.arange(2 * points) * np.pi / points
        return _polar(radii, angles, center)
    if name == "cross":
        arm = rng.uniform(0.22, 0.36)
        corner = [(arm, -1), (arm, -arm), (1, -arm), (1, arm), (arm, arm), (arm, 1)]
        return _rotated(corner + [(-x, -y) for x, y in corner], radius, turn, center)
    if name == "arrow":
        shaft, head = rng.uniform(0.16, 0.26), rng.uniform(0.0, 0.3)
        half = [(-1, -shaft), (head, -shaft), (head, -0.7), (1.05, 0)]
        return _rotated(half + [(x, -y) for x, y in half[2::-1]], radius, turn, center)
    raise ValueError(name)


def _coverage(picture, blur):
    """An oversampled mask as float32 [SIDE, SIDE] in 0 to 1."""
    if blur > 0:
        picture = picture.filter(ImageFilter.GaussianBlur(blur * OVERSAMPLING))
    return np.asarray(picture.reduce(OVERSAMPLING), np.float32) / 255.0


def _new_mask():
    side = SIDE * OVERSAMPLING
    picture = Image.new("L", (side, side), 0)
    return picture, ImageDraw.Draw(picture)


def _blob_vertices(rng, center, radius):
    count = int(rng.integers(5, 9))
    angles = (np.arange(count) + rng.uniform(-0.25, 0.25, count)) * (2 * np.pi / count)
    return _polar(radius * rng.uniform(0.75, 1.15, count), angles, center)


def _texture(name, turn, rng):
    """A pattern in 0 to 1, [SIDE, SIDE], anti-aliased by a steep ramp instead of a step."""
    period = rng.uniform(0.11, 0.2)
    u = (_GRID_X * np.cos(turn) + _GRID_Y * np.sin(turn)) / period + rng.uniform(0, 1)
    v = (_GRID_Y * np.cos(turn) - _GRID_X * np.sin(turn)) / period + rng.uniform(0, 1)
    if name == "waves":
        u = u + rng.uniform(0.3, 0.45) * np.sin(v * (2 * np.pi * rng.uniform(0.5, 0.7)))
    if name in ("stripes", "waves"):
        wave = np.sin(2 * np.pi * u)
    elif name == "checkers":
        wave = np.sin(np.pi * u) * np.sin(np.pi * v) * 2
    else:
        wave = np.cos(2 * np.pi * u) + np.cos(2 * np.pi * v) - rng.uniform(0.5, 0.9)
    return np.clip(wave * 2.0 + 0.5, 0, 1)


def _colour(rng):
    return rng.uniform(0.05, 0.95, 3).astype(np.float32)


def _brighter_colour(darker, rng, minimum):
    """A colour whose mean is at least `minimum` above that of `darker`, of any hue."""
    while True:
        colour = _colour(rng)
        if colour.mean() - darker.mean() >= minimum:
            return colour


def _gradient(rng, strength):
    """A plane through zero with any direction, [SIDE, SIDE, 1]."""
    turn = rng.uniform(0, 2 * np.pi)
    return ((_GRID_X * np.cos(turn) + _GRID_Y * np.sin(turn)) * strength)[..., None]


def _blend(pixels, coverage, colours):
    return pixels + coverage[..., None] * (colours - pixels)


def _draw_piece(rng, draw, size):
    """One piece of clutter: an ellipse, a line or a crooked polygon."""
    x, y = rng.uniform(0, SIDE, 2) * OVERSAMPLING
    reach = size * OVERSAMPLING
    kind = rng.integers(3)
    if kind == 0:
        w, h = rng.uniform(0.4, 1, 2) * reach
        draw.ellipse((x - w, y - h, x + w, y + h), fill=255)
    elif kind == 1:
        dx, dy = rng.uniform(-4, 4, 2) * reach
        draw.line((x, y, x + dx, y + dy), fill=255, width=int(rng.integers(1, 4)) * OVERSAMPLING)
    else:
        draw.polygon(_blob_vertices(rng, (x / OVERSAMPLING, y / OVERSAMPLING), size), fill=255)


def _with_clutter(rng, pixels, pieces, size, strength):
    for _ in range(pieces):
        picture, draw = _new_mask()
        _draw_piece(rng, draw, rng.uniform(0.4, 1.0) * size)
        pixels = _blend(pixels, _coverage(picture, 0) * np.float32(strength), _colour(rng))
    return pixels


def _with_object(rng, pixels, name, near, far):
    radius = rng.uniform(17, 28)
    center = SIDE / 2 + rng.uniform(-1, 1, 2) * (SIDE / 2 - radius) * 0.7
    turn = rng.uniform(-MAX_TURN, MAX_TURN)
    picture, draw = _new_mask()
    if name in TEXTURES:
        draw.polygon(_blob_vertices(rng, center, radius * 1.25), fill=255)
        pattern = _texture(name, turn, rng)[..., None]
        other = _colour(rng) * (near.mean() - 0.25)
        colours = near + pattern * (other - near)
    else:
        if name in ("disc", "ring", "crescent"):
            _draw_round_shape(draw, name, rng, center, radius, turn)
        else:
            draw.polygon(_shape_vertices(name, rng, center, radius, turn), fill=255)
        colours = near + np.broadcast_to(_gradient(rng, rng.uniform(0, 0.4)), (SIDE, SIDE, 3))
    opacity = np.float32(rng.uniform(0.75, 1.0))
    return _blend(pixels, _coverage(picture, rng.uniform(0, 0.9)) * opacity, colours)


def _finished(rng, pixels):
    """Light, noise and rounding to 8 bits."""
    pixels = pixels * (1 + _gradient(rng, rng.uniform(0, 0.7))) + rng.uniform(-0.08, 0.08)
    grey = rng.normal(0, rng.uniform(0.0, 0.04), (SIDE, SIDE, 1)).astype(np.float32)
    levels = np.clip((pixels + grey) * 255, 0, 255)
    # Steps of 4 grey levels: without them noise alone would make the PNGs twice as large.
    return np.minimum(np.round(levels / 4) * 4, 255).astype(np.uint8)


def draw_image(split, index, seed=SEED):
    """uint8 [72, 72, 3]; its class is CLASSES[index % 12]."""
    rng = np.random.default_rng((seed, SPLITS[split], index))
    far = _colour(rng) * np.float32(0.65)
    near = _brighter_colour(far, rng, 0.2)
    pixels = far + np.broadcast_to(_gradient(rng, rng.uniform(0, 0.5)), (SIDE, SIDE, 3))
    pixels = _with_clutter(rng, pixels, int(rng.integers(2, 6)), 11, rng.uniform(0.4, 1.0))
    pixels = _with_object(rng, pixels, CLASSES[index % len(CLASSES)], near, far)
    if rng.uniform() < 0.5:
        pixels = _with_clutter(rng, pixels, 1, 8, 1.0)
    return _finished(rng, pixels)


def model_input(pixels):
    """uint8 [64, 64, 3]: the resize of SiglipImageProcessor (bicubic, on bytes)."""
    size = (MODEL_SIDE, MODEL_SIDE)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


def write_split(folder, split, count):
    for index in range(count):
        name = CLASSES[index % len(CLASSES)]
        target = folder / split / name / f"{index:03d}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw_image(split, index)).save(target, optimize=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    write_split(pathlib.Path(sys.argv[1]), "calib", CALIB_IMAGES)
    write_split(pathlib.Path(sys.argv[1]), "eval", EVAL_IMAGES)
