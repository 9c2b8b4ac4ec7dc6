"""Reads stats.h5 with h5py and recomputes every dataset in numpy and Python integers.

stats_oracle.py WRITER: the program of tests/calib/write_made_stats.cc, which observes the images
that `made_rows` makes again here.
"""

import hashlib
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import h5py
import numpy as np
from counter_hash import counter_hash, hash_text, hash_uniform

IMAGES = 23
TOKENS = 11
SEED = 9
SAMPLE = 20
OUTPUTS = 5
SITES = {"blocks.0.attn.qkv": 24, "blocks.1.mlp.fc2": 37}


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def made_rows(image, site, channels=None):
    """tests/calib/made_activations.cc, MadeRows: float16 [TOKENS, channels]."""
    channels = channels or SITES[site]
    index = np.arange(TOKENS * channels, dtype=np.uint64)
    u = hash_uniform((hash_text(site) + image) % 2**64, index)
    width = np.where(index % np.uint64(channels) == 3, np.float32(1536), np.float32(48))
    bits = (u * u * u * u * u * width).astype(np.float16).view(np.uint16)
    if image % 5 == 0:
        bits[7] = 0x7E01
        bits[-2] = 0xFC00
    return bits.view(np.float16).reshape(TOKENS, channels)


def fixed_point_words(values, unit):
    """[n, 2] of the high and low words of exact values / unit in two's complement."""
    words = []
    for value in values:
        units = Fraction(value) / unit
        assert units.denominator == 1
        words.append([(units.numerator >> 64) % 2**64, units.numerator % 2**64])
    return np.array(words, dtype=np.uint64)


def image_sums_of_squares(rows):
    """binary64 per channel, one addition a row."""
    total = np.zeros(rows.shape[1])
    for row in np.where(np.isfinite(rows), rows, 0).astype(np.float64):
        total += row * row
    return total


def expected_site(site):
    images = [made_rows(i, site) for i in range(IMAGES)]
    every = np.concatenate(images)
    finite = np.where(np.isfinite(every), every, 0).astype(np.float64)
    row_max = np.abs(finite).max(axis=1).reshape(IMAGES, TOKENS)
    squares = [image_sums_of_squares(rows) for rows in images]
    shas = [int(sha256(f"image {i}")[:16], 16) for i in range(IMAGES)]
    keys = np.concatenate(
        [counter_hash(counter_hash(SEED, s), np.arange(TOKENS, dtype=np.uint64)) for s in shas])
    sampled = np.argsort(keys)[:SAMPLE]
    return {
        "counts": np.bincount(every.view(np.uint16).ravel(), minlength=65536).astype(np.uint64),
        "channel_absmax": np.abs(finite).max(axis=0).astype(np.float32),
        "channel_sum": fixed_point_words(
            [sum(map(Fraction, column)) for column in finite.T.tolist()], Fraction(1, 2**24)),
        "channel_sum_sq": fixed_point_words(
            [sum(map(Fraction, column)) for column in np.array(squares).T.tolist()],
            Fraction(1, 2**48)),
        "position_absmax": row_max.max(axis=0).astype(np.float32),
        "position_absmax_sum": np.array(
            [sum(int(value * 2**24) for value in column) for column in row_max.T], dtype=np.uint64),
        "position_count": np.full(TOKENS, IMAGES, dtype=np.uint64),
        "nonfinite": np.array([np.isnan(every).sum(), np.isinf(every).sum()], dtype=np.uint64),
        "row_key": keys[sampled],
        "rows": every[sampled],
    }


def expected_outputs(site):
    every = np.concatenate([made_rows(i, site + ".output", OUTPUTS) for i in range(IMAGES)])
    return {
        "counts": np.bincount(every.view(np.uint16).ravel(), minlength=65536).astype(np.uint64),
        "nonfinite": np.array([np.isnan(every).sum(), np.isinf(every).sum()], dtype=np.uint64),
    }


def check_equal(name, expected, actual):
    assert expected.dtype == actual.dtype, f"{name}: {actual.dtype}, not {expected.dtype}"
    assert expected.shape == actual.shape, f"{name}: {actual.shape}, not {expected.shape}"
    if expected.dtype == np.float16:
        expected, actual = expected.view(np.uint16), actual.view(np.uint16)
    different = np.argwhere(expected != actual)
    assert not len(different), f"{name}: {len(different)} differ, first at {different[0]}"


def check_header(file, version):
    images = sorted((sha256(f"image {i}"), f"{i}.jpg") for i in range(IMAGES))
    listing = "".join(f"{sha}  {name}\n" for sha, name in images)
    expected = {
        "version": version, "images": IMAGES, "rows": IMAGES * TOKENS, "seed": SEED,
        "row_sample_size": SAMPLE, "model_sha256": sha256("model"),
        "preprocessing_sha256": sha256("preprocessing"), "residual": "fp16",
        "image_set_sha256": sha256(listing),
    }
    assert dict(file.attrs) == expected, dict(file.attrs)
    stored = zip(file["images/sha256"].asstr()[:], file["images/name"].asstr()[:])
    assert list(stored) == images


def check_group(group, expected):
    """The number of values compared."""
    assert set(group) == set(expected), sorted(group)
    for name, values in expected.items():
        check_equal(f"{group.name}/{name}", values, group[name][:])
    return sum(values.size for values in expected.values())


def check_file(path, version):
    """The number of values compared."""
    compared = 0
    with h5py.File(path) as file:
        check_header(file, version)
        assert set(file) == {"sites", "images"} | ({"outputs"} if version == 2 else set())
        assert set(file["sites"]) == set(SITES)
        for site in SITES:
            assert dict(file["sites"][site].attrs) == {"rows": IMAGES * TOKENS}
            compared += check_group(file["sites"][site], expected_site(site))
        if version == 2:
            assert set(file["outputs"]) == set(SITES)
            for site in SITES:
                compared += check_group(file["outputs"][site], expected_outputs(site))
    return compared


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stats.h5"
        compared = 0
        for version, words in ((1, []), (2, ["outputs"])):
            subprocess.run([sys.argv[1], str(IMAGES), str(path), *words], check=True)
            compared += check_file(path, version)
    print(f"{compared} numbers of {len(SITES)} sites compared, all equal")


if __name__ == "__main__":
    main()
