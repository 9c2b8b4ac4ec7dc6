// An arm: one way of running the encoder. Every experiment is a list of arms handed to one runner.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "quant/spec.h"
#include "runtime/base/precision.h"

namespace w8a8 {

struct Arm {
  std::string name;  // begins with the precision: "int8/per-token/inf", "fake/plan"
  Precision precision = Precision::kFp16;
  Plan plan;
  FakeFlavour flavour = FakeFlavour::kIdeal;                 // fake only
  AttentionPrecision attention = AttentionPrecision::kFp32;  // but of fp16, see AttentionOf()
};

// How the weights of arms are made where nothing else says so; nullopt leaves a plan as it is.
struct WeightSettings {
  std::optional<int> bits = {};
  std::optional<WeightConvention> convention = {};
};
// The bits at every site that has none of its own (other than 8), the convention at every site
// whose weights are quantized and that has none of its own (a scheme's).
Plan WithWeights(Plan plan, const WeightSettings& weights);
SitePlan WithWeights(SitePlan plan, const WeightSettings& weights);

// The arithmetic of the arm's attention: the reference's is always FP32.
AttentionPrecision AttentionOf(const Arm& arm);

// True if the attention of the two is one kernel's: an emulated arm's INT8 products are not those
// of the others.
bool SameAttention(const Arm& first, const Arm& second);

// True if the two quantize a planned site by the same arithmetic.
bool SameArithmetic(const Arm& first, const Arm& second);

// The plan as the arm's arithmetic reads it: a static scale's clip range only says where the scale
// comes from, so points of a sweep that lie beyond a site's abs-max are one there. vllm-static's
// code -128 can lie beyond the range, so it reads it.
SitePlan AsRun(const Arm& arm, SitePlan plan);

// True if the two compute the same numbers at every site and in attention.
bool SameComputation(const Arm& first, const Arm& second);

}  // namespace w8a8
