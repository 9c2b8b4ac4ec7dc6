"""Reads the sample report's files with json and h5py and checks that they say the same.

report_oracle.py WRITE_SAMPLE_REPORT FOLDER
"""
import json
import math
import pathlib
import shutil
import subprocess
import sys

import h5py
import numpy as np


def text(dataset):
    return [value.decode() for value in dataset[...]]


def same(expected, actual):
    """A JSON number or null against an HDF5 number or NaN."""
    return math.isnan(actual) if expected is None else expected == actual


def check_interval(expected, row, where):
    for i, key in enumerate(("value", "low", "high")):
        assert same(expected and expected[key], row[i]), (where, key)


def check_arms(report, file):
    arms = file["arms"]
    assert text(arms["name"]) == [arm["name"] for arm in report["arms"]]
    assert text(arms["precision"]) == [arm["precision"] for arm in report["arms"]]
    for i, arm in enumerate(report["arms"]):
        assert text(arms["granularity"])[i] == (arm["granularity"] or "")
        assert bool(arms["chosen"][i]) == arm["chosen"]
        clip = arms["clip_range"][i]
        one_range = arm["granularity"] in ("per-token", "per-tensor")
        no_clip = math.isinf(clip) if one_range else math.isnan(clip)
        assert no_clip if arm["clip_range"] is None else clip == arm["clip_range"], arm["name"]
        for fraction in ("top1", "top5", "agreement"):
            check_interval(arm[fraction], arms[fraction][i], arm["name"])
        for output, errors in arm["outputs"].items():
            for figure in ("sqnr_db", "relative_l2", "cosine_mean", "cosine_p1", "max_abs"):
                check_interval(errors[figure], arms["outputs"][output][figure][i], arm["name"])
            assert bool(arms["outputs"][output]["exact"][i]) == errors.get("exact", False)


def check_sites(report, file):
    sites = file["sites"]
    for name in ("site", "arm", "view"):
        assert text(sites[name]) == [row[name] for row in report["sites"]]
    for name in ("sqnr_db", "relative_l2", "cosine", "max_abs", "mean_error", "saturation",
                 "input_sqnr_db"):
        column = sites[name][...]
        assert column.dtype == np.float64
        assert all(same(row[name], value) for row, value in zip(report["sites"], column)), name
    assert len(sites["block"]) == len(report["sites"])


def check_sweep(report, file):
    arms = {arm["name"]: arm for arm in report["arms"]}
    sweep = file["sweep"]
    names = text(sweep["arm"])
    assert len(names) == 40 and len(set(names)) == 40
    for i, name in enumerate(names):
        output = sweep["output"][i].decode()
        check_interval(arms[name]["outputs"][output]["sqnr_db"], sweep["sqnr_db"][i], name)
        check_interval(arms[name]["agreement"], sweep["agreement"][i], name)
    clips = sweep["clip_range"][:10]
    assert list(clips) == sorted(clips) and math.isinf(clips[-1])


def check_checks(report, file):
    checks = report["checks"]
    assert text(file["checks/sites/site"]) == [site["site"] for site in checks["sites"]]
    for name in ("int32_compared", "int32_mismatches", "codes_compared", "code_mismatches",
                 "outputs_compared", "output_mismatches", "nonfinite"):
        assert file["checks/total"][name][0] == checks[name]
        assert list(file["checks/sites"][name]) == [site[name] for site in checks["sites"]]
        assert list(file["checks/passes"][name]) == [item[name] for item in checks["passes"]]
    for name, count in checks["code_differences"].items():
        assert file["checks/total/code_differences"][name][0] == count


def check_rest(report, file):
    assert file.attrs["schema"] == report["schema"] == "w8a8-report/1"
    for key in ("ship", "arm", "text"):
        assert file["verdict"].attrs[key] == report["verdict"][key]
    assert file["facts/model"].attrs["sha256"] == report["facts"]["model"]["sha256"]
    assert file["facts/images"].attrs["evaluation"] == 220
    assert json.loads(file["facts/preprocessing"].attrs["mean"]) == [0.5, 0.5, 0.5]
    skipped = file["skipped_images"]
    assert text(skipped["file"]) == [row["file"] for row in report["skipped_images"]]
    assert text(skipped["reason"]) == [row["reason"] for row in report["skipped_images"]]
    plan = file["plan_choices"]
    assert text(plan["site"]) == [row["site"] for row in report["plan_choices"]]
    assert list(plan["scale"]) == [row["scale"] for row in report["plan_choices"]]
    assert len(plan["candidates/rule"]) == 3 * len(plan["site"])
    assert text(file["health/text"]) == [row["text"] for row in report["health"]]


def check_run(run, file):
    for key in ("command", "host", "device", "kernels", "started", "threads",
                "peak_memory_bytes"):
        assert file["run"].attrs[key] == run[key], key
    assert text(file["run/stages/name"]) == [stage["name"] for stage in run["stages"]]
    assert list(file["run/stages/seconds"]) == [stage["seconds"] for stage in run["stages"]]
    assert file["run/latency/int8"].attrs["ms_per_image"] == 12.25


def contents(file):
    """Everything outside /run: values of datasets and attributes by name."""
    found = {"/": dict(file.attrs)}

    def visit(name, item):
        if name.split("/")[0] == "run":
            return
        value = item[...].tobytes() if isinstance(item, h5py.Dataset) else None
        found[name] = (value, {key: str(v) for key, v in item.attrs.items()})

    file.visititems(visit)
    return found


def main():
    program, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([program, str(folder)], check=True)
    one, two = folder / "one", folder / "two"
    names = ["report.h5", "report.html", "report.json", "run.json"]
    assert sorted(path.name for path in one.iterdir()) == names
    report = json.loads((one / "report.json").read_text(encoding="utf-8"))
    run = json.loads((one / "run.json").read_text(encoding="utf-8"))
    with h5py.File(one / "report.h5") as file, h5py.File(two / "report.h5") as other:
        check_arms(report, file)
        check_sites(report, file)
        check_sweep(report, file)
        check_checks(report, file)
        check_rest(report, file)
        check_run(run, file)
        assert contents(file) == contents(other)
        assert file["run"].attrs["command"] != other["run"].attrs["command"]
        print(f"{len(contents(file))} objects agree with report.json")
    assert (one / "report.json").read_bytes() == (two / "report.json").read_bytes()
    assert (one / "run.json").read_bytes() != (two / "run.json").read_bytes()


if __name__ == "__main__":
    main()
