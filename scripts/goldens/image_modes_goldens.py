"""Goldens of decoding: small images that Pillow writes in every mode and format, and what it reads of them.

  python image_modes_goldens.py   Pillow 13.0.0

Writes tests/golden/datasets/image_modes.tsv. A row holds the file itself (base64) and the SHA-256 of its
pixels as transformers converts it (transparency on white) and as convert("RGB") does. `refused` says why
this project reads it otherwise.
"""

import base64
import io
import struct
import warnings
import zlib

import numpy as np
from resample_goldens import digest, hash_image, require, write

WIDTH, HEIGHT = 13, 9

JPEG = [{"quality": 90}, {"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2},
        {"progressive": True, "quality": 30}, {"optimize": True, "restart_marker_blocks": 1}]
OPTIONS = {
    "png": [{}],
    "jpg": JPEG,
    "tif": [{}, {"compression": "tiff_lzw"}, {"compression": "tiff_deflate"}, {"compression": "packbits"},
            {"compression": "jpeg"}],
    "bmp": [{}],
    "webp": [{"quality": 80}, {"lossless": True}],
}
FORMATS = {"jpg": "JPEG", "tif": "TIFF"}
REFUSED_TIFF = {
    "CMYK": "CMYK", "YCbCr": "YCbCr", "LAB": "the colour space 8", "LA": "transparency", "PA": "transparency",
    "RGBA": "transparency", "I": "32 bits", "F": "32 bits",
}


def modes():
    from PIL import Image

    rgb = hash_image(WIDTH, HEIGHT, 1)
    colours = Image.fromarray(rgb)
    alpha = Image.fromarray(hash_image(WIDTH, HEIGHT, 2)[..., 0].copy())
    inks = np.concatenate([rgb, hash_image(WIDTH, HEIGHT, 3)[..., :1]], -1)
    words = hash_image(WIDTH, HEIGHT, 4).astype(np.uint16)
    images = {mode: colours.convert(mode) for mode in ("1", "L", "RGB", "YCbCr", "HSV")}
    images["P"] = colours.quantize(100)
    images["P16"] = colours.quantize(16)
    images["P2"] = colours.quantize(2)
    images["PA"] = images["P"].convert("PA")
    images["CMYK"] = Image.fromarray(inks, "CMYK")
    images["LAB"] = Image.fromarray(rgb, "LAB")
    images["I;16"] = Image.fromarray(words[..., 0] << 8 | words[..., 1])
    images["I;16dark"] = Image.fromarray(words[..., 0] * 2)
    images["I"] = Image.fromarray(words[..., 0].astype(np.int32) * 300 - 1000)
    images["F"] = Image.fromarray(words[..., 0].astype(np.float32))
    for mode in ("L", "RGB"):
        images[mode + "A"] = images[mode].copy()
        images[mode + "A"].putalpha(alpha)
    return images


def saved(image, format_name, **options):
    file = io.BytesIO()
    try:
        image.save(file, FORMATS.get(format_name, format_name.upper()), **options)
    except (OSError, KeyError, ValueError, SystemError):
        return None  # Pillow does not write this mode in this format
    return file.getvalue()


def png_chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def transparent_png(depth, channels, levels, transparent):
    """A PNG of one transparent colour; `levels` [HEIGHT, WIDTH * channels], which Pillow writes in no depth but 8."""
    rows = []
    for row in levels:
        bits = "".join(format(int(level), f"0{depth}b") for level in row)
        bits += "0" * (-len(bits) % 8)
        rows.append(b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big"))
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, 2 if channels == 3 else 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join([
        png_chunk(b"IHDR", header), png_chunk(b"tRNS", struct.pack(f">{channels}H", *[transparent] * channels)),
        png_chunk(b"IDAT", zlib.compress(b"".join(rows))), png_chunk(b"IEND", b"")])


def transparent_pngs():
    noise = hash_image(WIDTH, HEIGHT, 5).reshape(HEIGHT, WIDTH * 3)
    for depth in (1, 2, 4, 8, 16):
        for transparent in (0, 1, 2, 300):
            if transparent >= 2**depth:
                continue
            two = np.where(noise & 1, transparent, 2**depth - 1)
            yield f"grey{depth}-transparent{transparent}.png", transparent_png(depth, 1, two[:, :WIDTH], transparent)
            if depth >= 8:
                yield f"rgb{depth}-transparent{transparent}.png", transparent_png(depth, 3, two, transparent)


def without_adobe_marker(jpeg):
    at = jpeg.index(b"\xff\xee")
    return jpeg[:at] + jpeg[at + 2 + struct.unpack(">H", jpeg[at + 2:at + 4])[0]:]


def files():
    from PIL import Image

    images = modes()
    for mode, image in images.items():
        for format_name, choices in OPTIONS.items():
            if format_name == "webp" and mode not in ("L", "P", "RGB", "RGBA"):
                continue  # Pillow converts before it writes
            for number, options in enumerate(choices):
                yield f"{mode}-{number}.{format_name}", saved(image, format_name, **options)
    shades = {"P": 3, "P16": 3, "1": 255, "L": int(np.asarray(images["L"])[2, 3]),
              "RGB": tuple(int(v) for v in np.asarray(images["RGB"])[2, 3])}
    for mode, shade in shades.items():
        yield f"{mode}-transparent.png", saved(images[mode], "png", transparency=shade)
    yield "P-alphas.png", saved(images["P"], "png", transparency=bytes(range(0, 250, 5)))
    yield from transparent_pngs()
    yield "CMYK-no-adobe.jpg", without_adobe_marker(saved(images["CMYK"], "jpg"))
    exif = Image.Exif()
    for orientation in range(1, 9):
        exif[0x112] = orientation
        for format_name in ("jpg", "png", "webp", "tif"):
            yield f"turned-{orientation}.{format_name}", saved(images["RGB"], format_name, exif=exif)
        yield f"turned-cmyk-{orientation}.jpg", saved(images["CMYK"], "jpg", exif=exif)


def pixels_of(data):
    from PIL import Image, ImageOps

    image = Image.open(io.BytesIO(data))
    image.load()
    image = ImageOps.exif_transpose(image)
    white = image
    if "A" in image.getbands() or image.info.get("transparency") is not None:
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        white = Image.alpha_composite(white, image.convert("RGBA"))
    return [digest(np.asarray(i.convert("RGB"))) for i in (white, image)]


def refusal(name):
    mode, format_name = name.split("-")[0], name.split(".")[-1]
    by_libtiff = mode == "YCbCr" and not name.endswith("-0.tif")  # for Pillow, too
    return REFUSED_TIFF.get(mode, "") if format_name == "tif" and not by_libtiff else ""


def main():
    require("PIL", "13.0.0")
    warnings.simplefilter("ignore")
    lines = ["file\twhite_sha256\tdrop_sha256\trefused\tbase64"]
    for name, data in files():
        if data is None:
            continue
        lines.append("\t".join([name, *pixels_of(data), refusal(name), base64.b64encode(data).decode()]))
    write("modes", lines, prefix="image")


if __name__ == "__main__":
    main()
