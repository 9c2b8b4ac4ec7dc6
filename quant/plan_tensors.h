// plan.safetensors: what a plan of version 2 holds beside its JSON. For each site that has them:
// <site>.smoothing F32 [K]; <site>.codes I8 [N, K], <site>.weight_scale F32 [1] (tensor), [N]
// (channel) or [N, groups], <site>.weight_zero_point I8 of that shape (weights that are not
// symmetric) and <site>.bias F32 [N] (where it is not the checkpoint's).
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "quant/spec.h"
#include "runtime/base/safetensors.h"

namespace w8a8 {

// The bytes of the file that holds the plan's tensors; empty where it has none.
std::string PlanTensorBytes(const Plan& plan);
// Whether the file at `path` holds what PlanTensorBytes() makes, of any plan, and nothing else.
bool HoldsPlanTensors(const std::filesystem::path& path);

// Tensors that are read one site after the other. Every function throws Error naming `place` (the
// plan and the site) and the tensor, or the file.
class PlanTensors {
 public:
  // Throws Error unless the file is there and has this SHA-256.
  PlanTensors(const std::filesystem::path& path, const std::string& sha256);

  // [k]; any length for k = 0.
  std::vector<float> Smoothing(const std::string& place, const std::string& site, int64_t k);
  // Codes as `spec` says they are, checked; n and k are those of the layer, 0 where not known.
  GivenWeights Given(const std::string& place, const std::string& site, const WeightSpec& spec,
                     int64_t n, int64_t k);
  // Throws Error if there is a tensor that nobody has asked for.
  void RefuseStray() const;

 private:
  const TensorView& Get(const std::string& place, const std::string& name);
  std::vector<float> Floats(const std::string& place, const std::string& name,
                            const std::vector<int64_t>& shape);

  SafetensorsFile file_;
  std::set<std::string> used_;
};

}  // namespace w8a8
