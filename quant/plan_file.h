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
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "quant/spec.h"

namespace w8a8 {

// A site that the model has, and the length of its input (and so of a smoothing vector).
struct KnownSite {
  std::string site;
  int64_t channels = 0;
};

struct PlanFile {
  std::string model_sha256;  // of the model that the plan was made for; empty: not said
  Plan plan;
};

// The file's text: the sites in the order of `sites`, null for those that the plan leaves in FP16.
// Every site of the plan must be among them.
std::string PlanText(const PlanFile& file, std::span<const KnownSite> sites);
// Of PlanText(): what sha256sum prints for a file that WritePlan() wrote, and independent of how a
// plan written by hand was spelt.
std::string PlanSha256(const PlanFile& file, std::span<const KnownSite> sites);
void WritePlan(const std::filesystem::path& path, const PlanFile& file,
               std::span<const KnownSite> sites);

// Throws Error naming `name` (the file), the site, the field and the value on anything that is
// unknown, doubled, contradictory or not a number: nothing is ignored.
PlanFile ParsePlan(std::string_view text, const std::string& name,
                   std::span<const KnownSite> sites);
PlanFile ReadPlan(const std::filesystem::path& path, std::span<const KnownSite> sites);

// Throws Error if the plan names a model other than this one.
void CheckPlanModel(const PlanFile& file, const std::string& name, const std::string& model_sha256);

}  // namespace w8a8
