"""Where two sets of named tensors differ: what every oracle of `linear` says of its files."""

import numpy as np


def differences(expected, actual):
    """Names of tensors that differ in any bit; any NaN equals any NaN."""
    wrong = [f"{name} is {'missing' if name in expected else 'stray'}"
             for name in sorted(set(expected) ^ set(actual))]
    for name in sorted(set(expected) & set(actual)):
        e, a = np.ascontiguousarray(expected[name]), np.ascontiguousarray(actual[name])
        if e.dtype != a.dtype or e.shape != a.shape:
            wrong.append(f"{name} is {a.dtype}{list(a.shape)} for {e.dtype}{list(e.shape)}")
            continue
        same = e.view(f"u{e.itemsize}") == a.view(f"u{a.itemsize}")
        if e.dtype.kind == "f":
            same |= np.isnan(e) & np.isnan(a)
        if not same.all():
            at = tuple(int(i) for i in np.argwhere(~same)[0])
            wrong.append(f"{name}{list(at)}: {e[at]!r} expected, {a[at]!r} found")
    return wrong
