#include "tests/cpu/random_schemes.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "runtime/base/counter_hash.h"
#include "tests/cpu/kernel_sets.h"
#include "tests/runtime/step_bench.h"

namespace w8a8::test {
namespace {

// Draws by name, so that a case does not change with what is drawn before.
struct Draw {
  uint64_t seed;
  int64_t Below(int64_t count, uint64_t what) const {
    return static_cast<int64_t>(CounterHash(seed, what) % static_cast<uint64_t>(count));
  }
};

Quantizer DrawInput(const Draw& draw, int64_t weight_group) {
  const float clip = draw.Below(3, 1) == 0 ? 1.5f : kNoClip;
  switch (draw.Below(5, 2)) {
    case 0:
      return {.clip_range = clip};
    case 1:
      return Quantizer::Static(0.0173f);
    case 2:
      return {.clip_range = clip, .symmetric = false};
    case 3:
      return {.granularity = Granularity::kTensor,
              .scale = 0.031f,
              .symmetric = false,
              .zero_point = static_cast<int32_t>(draw.Below(256, 3)) - 128};
    default:
      break;
  }
  constexpr int64_t kSizes[] = {1, 3, 4, 16, 32, 100};
  const int64_t size = weight_group == 0       ? kSizes[draw.Below(6, 4)]
                       : draw.Below(2, 5) == 0 ? weight_group * (1 + draw.Below(3, 6))
                       : weight_group % 2 == 0 ? weight_group / 2
                                               : 1;
  return {.granularity = Granularity::kGroup, .clip_range = clip, .group_size = size};
}

WeightCodes DrawWeight(const Draw& draw, int64_t n, int64_t k, const WeightSpec& spec) {
  WeightCodes weight{.n = n, .k = k, .bits = spec.num_bits};
  weight.scale = {spec.granularity, spec.group_size, {}};
  const int32_t low = -MaxCode(spec.num_bits) - 1;  // legal in codes that are read
  const auto code = [&](uint64_t stream, size_t i) {
    const auto codes = uint64_t{1} << spec.num_bits;
    return static_cast<int8_t>(low + static_cast<int32_t>(CounterHash(stream, i) % codes));
  };
  for (size_t i = 0; i < static_cast<size_t>(n * k); ++i) {
    weight.codes.push_back(code(draw.seed + 1, i));
  }
  const auto scales = spec.granularity == Granularity::kTensor
                          ? size_t{1}
                          : static_cast<size_t>(n * weight.scale.GroupsOf(k));
  for (size_t i = 0; i < scales; ++i) {
    weight.scale.values.push_back(std::exp2(-9.0f + 4.0f * HashUniform(draw.seed + 2, i)));
    if (!spec.symmetric) weight.zero_points.push_back(code(draw.seed + 3, i));
  }
  FinishCodes("weight", weight);
  return weight;
}

WeightSpec DrawWeightSpec(const Draw& draw) {
  constexpr int64_t kSizes[] = {1, 3, 4, 8, 32, 128};
  WeightSpec spec{.num_bits = 2 + static_cast<int>(draw.Below(7, 11))};
  const int64_t granularity = draw.Below(4, 12);
  if (granularity == 0) return {.granularity = Granularity::kTensor, .num_bits = spec.num_bits};
  if (granularity > 1) {
    spec.granularity = Granularity::kGroup;
    spec.group_size = kSizes[draw.Below(6, 13)];
  }
  spec.symmetric = draw.Below(2, 14) == 0;
  return spec;
}

InputTransform DrawTransform(const Draw& draw, int64_t k, SitePlan* plan) {
  InputTransform transform;
  if (draw.Below(3, 21) != 0) return transform;
  if (draw.Below(2, 22) == 0) {
    for (int64_t i = 0; i < k; ++i) {
      const float s = std::exp2(2.0f * HashUniform(draw.seed + 4, static_cast<uint64_t>(i)));
      plan->smoothing.push_back(s);
      transform.inv_smoothing.push_back(1.0f / s);
    }
  }
  if (k % 2 == 0) plan->rotation = {.block = k & -k, .mix = draw.Below(2, 23) == 0, .seed = 5};
  transform.rotation = plan->rotation;
  return transform;
}

Scheme DrawScheme(uint64_t seed, bool weight_only) {
  const Draw draw{seed * 100};
  Scheme scheme;
  scheme.images = 1 + draw.Below(3, 31);
  scheme.tokens = 1 + draw.Below(15, 32);
  constexpr int64_t kInputs[] = {1, 2, 7, 33, 48, 64, 96, 130, 260};
  const int64_t k = kInputs[draw.Below(9, 33)], n = 1 + draw.Below(70, 34);
  SitePlan plan{.weight = DrawWeightSpec(draw)};
  plan.input = DrawInput(draw, plan.weight->group_size);
  if (weight_only) plan.input.reset();
  if (draw.Below(3, 35) == 0) plan.output = Quantizer::Static(0.05f);
  scheme.transform = DrawTransform(draw, k, &plan);
  SitePlan twice = plan;
  twice.first_row_twice = !weight_only && plan.input->symmetric &&
                          plan.input->granularity != Granularity::kGroup &&
                          plan.weight->symmetric && plan.weight->granularity != Granularity::kGroup;
  scheme.plan = Normalized(draw.Below(2, 36) == 0 ? twice : plan, k);
  CheckSitePlan("site", scheme.plan, k);
  scheme.linear = {"layer", DrawWeight(draw, n, k, *scheme.plan.weight), {}};
  if (draw.Below(4, 37) != 0) scheme.linear.bias = RandomFloats(n, seed + 7, 0.5f);
  scheme.x = RandomHalves(scheme.rows() * k, seed + 8,
                          draw.Below(3, 38) == 0 ? Values::kAny : Values::kFinite);
  if (draw.Below(3, 39) == 0) std::fill_n(scheme.x.begin(), k, Half{});
  return scheme;
}

}  // namespace

std::string Scheme::Text() const {
  return fmt::format("{} x {} rows, N {} K {}, input {} G {} {}, weight {} G {} {}{}{}{}", images,
                     tokens, n(), k(), plan.input ? NameOf(plan.input->granularity) : "none",
                     plan.input ? plan.input->group_size : 0,
                     !plan.input || plan.input->symmetric ? "" : "asymmetric",
                     NameOf(plan.weight->granularity), plan.weight->group_size,
                     plan.weight->symmetric ? "" : "zero points", plan.output ? ", output" : "",
                     transform.empty() ? "" : ", transformed",
                     plan.first_row_twice ? ", first row twice" : "");
}

std::vector<Scheme> RandomSchemes(bool weight_only) {
  std::vector<Scheme> schemes;
  for (uint64_t seed = 1; seed <= 60; ++seed) schemes.push_back(DrawScheme(seed, weight_only));
  return schemes;
}

}  // namespace w8a8::test
