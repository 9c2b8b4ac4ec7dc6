// plan.json: a plan as a file that people may write by hand.
//
// {"version": 1, "model_sha256": "…", "sites": {
//   "blocks.0.attn.qkv": {"input": {"strategy": "token", "dynamic": true, "clip_range": null},
//                         "weight": {"num_bits": 8, "strategy": "channel", "symmetric": true}},
//   "blocks.1.mlp.fc2": {"input": {"strategy": "tensor", "dynamic": false, "scale": 0.031,
//                        "clip_range": 4.0}, "smoothing": [1.5, …]},
//   "blocks.2.mlp.fc1": null}}
// null or absent stays FP16. `weight`, `dynamic`, `clip_range` and `smoothing` may be left out.
// Numbers are decimal, rounded once to binary32; they are written as the shortest decimal that
// gives the same binary32 again.
//
// A site of version 2 may have besides:
//   "input": null (the input stays FP16: weight-only);
//     "strategy": "group" with "group_size" (dynamic, symmetric);
//     "symmetric": false, with "zero_point" (static, no clip range) or without (token);
//   "weight": null (FP16 weights, then "input" is null too);
//     "strategy": "group" with "group_size", or "tensor"; "symmetric": false (codes with zero
//     points, which the checkpoint stores or the plan gives); "rounding": "nearest" | "given" (the
//     plan's own codes); "convention": "native" | "vllm";
//   "output": {"strategy": "tensor", "dynamic": false, "scale": 0.05};
//   "transform": {"smoothing": true, "rotation": {"block": 64, "mix": false, "seed": 0}};
//   "first_row_twice": true.
// What is too long for JSON stands in a safetensors file beside the plan (plan_tensors.h), named at
// the top level: "tensors": {"file": "plan.safetensors", "sha256": "…"}. "folds" (of version 2,
// too) is refused. A plan that needs nothing of version 2 is written as version 1.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "quant/spec.h"

namespace w8a8 {

// A site that the model has, the length of its input (and so of a smoothing vector) and of the
// layer's output; 0: not known, and then not checked.
struct KnownSite {
  std::string site;
  int64_t channels = 0;
  int64_t outputs = 0;
};

// The file of tensors beside a plan.json.
constexpr const char* kPlanTensorsFile = "plan.safetensors";

struct PlanFile {
  std::string model_sha256;  // of the model that the plan was made for; empty: not said
  Plan plan;
};

// The file's text: the sites in the order of `sites`, null for those that the plan leaves in FP16.
// Every site of the plan must be among them.
std::string PlanText(const PlanFile& file, std::span<const KnownSite> sites);
// Of PlanText(): what sha256sum prints for a plan.json that WritePlan() wrote, and independent of
// how a plan written by hand was spelt. It covers the tensors, whose SHA-256 stands in the text.
std::string PlanSha256(const PlanFile& file, std::span<const KnownSite> sites);
// The plan and, where it has tensors, the file beside it, of the same name but for the extension.
// Throws Error, and writes nothing, for a site that could not be run, and where another file than a
// plan's tensors has that name.
void WritePlan(const std::filesystem::path& path, const PlanFile& file,
               std::span<const KnownSite> sites);

// The plan's files as they are under another name; only the name of the tensors' file changes in
// the text.
void CopyPlan(const std::filesystem::path& from, const std::filesystem::path& to);

// Throws Error naming `name` (the file), the site, the field and the value on anything that is
// unknown, doubled, contradictory or not a number, and for a tensor that is missing, of another
// shape or of no use: nothing is ignored. Tensors are looked for beside `name`.
PlanFile ParsePlan(std::string_view text, const std::string& name,
                   std::span<const KnownSite> sites);
PlanFile ReadPlan(const std::filesystem::path& path, std::span<const KnownSite> sites);

// Throws Error if the plan names a model other than this one.
void CheckPlanModel(const PlanFile& file, const std::string& name, const std::string& model_sha256);

}  // namespace w8a8
