#include "eval/cli/commands/linear_scheme.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

#include <fmt/ranges.h>

#include "eval/cli/usage_error.h"
#include "runtime/base/half.h"

namespace w8a8 {
namespace {

using Flags = std::vector<std::string_view>;

// The flags of a scheme that were given.
Flags GivenFlags(const Options& o) {
  const LinearFlags& f = o.linear;
  const std::pair<std::string_view, bool> flags[] = {
      {"--granularity", o.granularity.has_value()},
      {"--clip-range", o.clip_range.has_value()},
      {"--fake", o.fake_given},
      {"--weight-bits", o.weight_bits_given},
      {"--input-scale", f.input_scale.has_value()},
      {"--input-zero-point", f.input_zero_point.has_value()},
      {"--input-group-size", f.input_group_size.has_value()},
      {"--asymmetric", f.asymmetric},
      {"--weight-only", f.weight_only},
      {"--group-size", f.group_size.has_value()},
      {"--weight-granularity", f.weight_granularity.has_value()},
      {"--weight-convention", f.weight_convention.has_value()},
      {"--output-scale", f.output_scale.has_value()},
      {"--rotation", f.rotation.has_value()},
      {"--first-row-twice", f.first_row_twice},
      {"--dtype", f.dtype.has_value()}};
  Flags given;
  for (const auto& [flag, is_given] : flags) {
    if (is_given) given.push_back(flag);
  }
  return given;
}

bool Has(const Flags& flags, std::string_view flag) {
  return std::ranges::find(flags, flag) != flags.end();
}

// What a flag rules out beside it, and why.
struct Exclusion {
  std::string_view flag;
  Flags excluded;
  std::string_view reason;
};

void Exclude(const Flags& given, const Exclusion& rule) {
  if (!Has(given, rule.flag)) return;
  for (const std::string_view flag : rule.excluded) {
    if (Has(given, flag)) FailUsage("{} excludes {}: {}.", rule.flag, flag, rule.reason);
  }
}

void CheckExclusions(const Flags& given) {
  const Exclusion rules[] = {
      {"--weight-only",
       {"--input-scale", "--asymmetric", "--clip-range", "--input-group-size", "--granularity",
        "--first-row-twice"},
       "the input stays FP16"},
      {"--input-scale", {"--clip-range"}, "a static scale is min(abs-max, R) / 127"},
      {"--input-scale",
       {"--asymmetric"},
       "that is per-token; --input-zero-point gives a static scale its zero point"},
      {"--input-scale", {"--input-group-size"}, "scales of groups are dynamic"},
      {"--input-group-size", {"--asymmetric"}, "groups of inputs are symmetric"},
      {"--group-size", {"--weight-granularity"}, "weights in groups have a scale for each group"},
      {"--first-row-twice",
       {"--asymmetric", "--input-zero-point"},
       "a row is coded twice with symmetric codes only"},
  };
  for (const Exclusion& rule : rules) Exclude(given, rule);
}

// Throws UsageError for a flag that is none of `allowed`.
void AllowOnly(const Flags& given, const Flags& allowed, std::string_view what) {
  Flags unused;
  std::ranges::copy_if(given, std::back_inserter(unused),
                       [&](std::string_view flag) { return !Has(allowed, flag); });
  if (unused.empty()) return;
  FailUsage("{}; leave {} out.", what, fmt::join(unused, ", "));
}

void CheckPrecisionFlags(const Options& o, const Flags& given) {
  if (*o.precision == Precision::kFp16) {
    return AllowOnly(given, {}, "linear --precision fp16: nothing is quantized");
  }
  if (*o.precision != Precision::kFake) {
    if (o.fake_given) FailUsage("--fake: only --precision fake has flavours.");
  } else if (o.fake == FakeFlavour::kLlmAwq) {
    AllowOnly(given, {"--fake", "--granularity", "--clip-range", "--input-scale", "--weight-bits"},
              "--fake llm-awq has scales of rows or of a tensor, and symmetric codes");
  } else if (IsVllmStatic(o.fake)) {
    if (!o.linear.input_scale) {
      FailUsage("--fake {} is per-tensor; it needs --input-scale.", NameOf(o.fake));
    }
    if (o.fake == FakeFlavour::kVllmStaticBf16 && o.linear.dtype == Dtype::kF16) {
      FailUsage("--dtype fp16 contradicts --fake {}.", NameOf(o.fake));
    }
    return AllowOnly(given,
                     {"--fake", "--granularity", "--input-scale", "--weight-bits", "--group-size",
                      "--weight-granularity", "--output-scale", "--dtype"},
                     "--fake vllm-static has static scales of tensors and symmetric codes");
  }
  if (o.linear.dtype) FailUsage("--dtype: only --precision fake --fake vllm-static takes one.");
}

void CheckInputFlags(const Options& o) {
  const LinearFlags& f = o.linear;
  if (o.granularity == Granularity::kTensor && !f.input_scale) {
    FailUsage("--granularity per-tensor needs --input-scale S: linear calibrates nothing.");
  }
  if (f.input_scale && o.granularity == Granularity::kToken) {
    FailUsage("--input-scale is a per-tensor scale; it excludes --granularity per-token.");
  }
  if (f.input_zero_point && !f.input_scale) {
    FailUsage("--input-zero-point needs --input-scale: it is the zero point of a static scale.");
  }
}

void CheckConvention(const Options& o) {
  const LinearFlags& f = o.linear;
  if (f.weight_convention != WeightConvention::kVllm) return;
  if (o.weight_bits == 8 && f.weight_granularity != Granularity::kTensor && !f.rotation) return;
  FailUsage(
      "--weight-convention vllm: 8 bits, a scale for each output row and no transform; leave "
      "--weight-bits, --weight-granularity and --rotation out.");
}

// As vllm-static stores it: 0 leaves its side alone.
void CheckVllmScale(const char* flag, float scale, FakeFlavour flavour) {
  if (scale == 0.0f) return;
  const bool brain = flavour == FakeFlavour::kVllmStaticBf16;
  const float stored = brain ? ToFloat(ToBFloat16(scale)) : ToFloat(ToHalf(scale));
  if (scale > 0.0f && std::isfinite(scale) && stored != 0.0f && std::isfinite(stored)) return;
  FailUsage(
      "{} {}: it is {} in {}, in which vllm-static computes; it must be finite and > 0, or 0 "
      "for a side that is not quantized.",
      flag, scale, stored, brain ? "BF16" : "FP16");
}

void CheckScale(const Options& o, const char* flag, float scale) {
  const FakeFlavour flavour = LinearFlavour(o);
  if (IsVllmStatic(flavour)) return CheckVllmScale(flag, scale, flavour);
  if (scale > 0.0f && std::isfinite(scale) && std::isfinite(1.0f / scale)) return;
  FailUsage("{} {}: it and its reciprocal must be finite and > 0.", flag, scale);
}

void CheckScales(const Options& o) {
  const LinearFlags& f = o.linear;
  if (f.input_scale) CheckScale(o, "--input-scale", *f.input_scale);
  if (!f.output_scale) return;
  CheckScale(o, "--output-scale", *f.output_scale);
  if (!IsVllmStatic(LinearFlavour(o)) && 127.0f * *f.output_scale > kMaxHalf) {
    FailUsage("--output-scale {}: code 127 would be {}; FP16 ends at {}.", *f.output_scale,
              127.0f * *f.output_scale, kMaxHalf);
  }
}

std::optional<Quantizer> InputQuantizerOf(const Options& o) {
  const LinearFlags& f = o.linear;
  if (f.weight_only) return std::nullopt;
  if (f.input_scale) {
    Quantizer input = Quantizer::Static(*f.input_scale);
    input.symmetric = !f.input_zero_point;
    input.zero_point = f.input_zero_point.value_or(0);
    return input;
  }
  Quantizer input{.clip_range = o.clip_range.value_or(kNoClip), .symmetric = !f.asymmetric};
  if (f.input_group_size) {
    input.granularity = Granularity::kGroup;
    input.group_size = *f.input_group_size;
  }
  return input;
}

WeightSpec WeightSpecOf(const Options& o) {
  const LinearFlags& f = o.linear;
  WeightSpec weight{.granularity = f.weight_granularity.value_or(Granularity::kChannel),
                    .num_bits = o.weight_bits,
                    .convention = f.weight_convention.value_or(WeightConvention::kNative)};
  if (f.group_size) {
    weight.granularity = Granularity::kGroup;
    weight.group_size = *f.group_size;
  }
  return weight;
}

}  // namespace

void CheckLinearFlags(const Options& options) {
  if (options.in.empty()) FailUsage("linear needs --in FILE.");
  if (options.out.empty()) FailUsage("linear needs --out FILE.");
  if (!options.precision) FailUsage("linear needs --precision fp16, fake, emulated or int8.");
  const Flags given = GivenFlags(options);
  CheckPrecisionFlags(options, given);
  CheckInputFlags(options);
  CheckExclusions(given);
  CheckConvention(options);
  CheckScales(options);
}

FakeFlavour LinearFlavour(const Options& options) {
  if (*options.precision != Precision::kFake) return FakeFlavour::kIdeal;
  const bool brain = options.linear.dtype == Dtype::kBF16;
  return brain ? FakeFlavour::kVllmStaticBf16 : options.fake;
}

SitePlan LinearPlan(const Options& options) {
  const LinearFlags& f = options.linear;
  SitePlan plan{.input = InputQuantizerOf(options), .weight = WeightSpecOf(options)};
  if (f.output_scale) plan.output = Quantizer::Static(*f.output_scale);
  plan.rotation = f.rotation;
  plan.first_row_twice = f.first_row_twice;
  return plan;
}

void CheckFlagsFit(const Options& options, const SitePlan& plan, int64_t k) {
  const LinearFlags& f = options.linear;
  if (f.rotation && k % f.rotation->block != 0) {
    FailUsage("--rotation {}: blocks of {} do not divide the K = {} columns of 'x'.",
              f.rotation->block, f.rotation->block, k);
  }
  const SitePlan as_run = Normalized(plan, k);
  const bool grouped_weights = as_run.weight->granularity == Granularity::kGroup;
  const bool grouped_input = as_run.input && as_run.input->granularity == Granularity::kGroup;
  if (f.first_row_twice && (grouped_weights || grouped_input || !as_run.weight->symmetric)) {
    FailUsage("--first-row-twice: only with inputs and weights without groups and zero points.");
  }
  if (f.weight_convention == WeightConvention::kVllm && grouped_weights) {
    FailUsage("--weight-convention vllm has a scale for each output row; leave --group-size out.");
  }
  if (!grouped_weights || !grouped_input) return;
  const int64_t inputs = as_run.input->group_size, weights = as_run.weight->group_size;
  if (inputs % weights == 0 || weights % inputs == 0) return;
  FailUsage("--input-group-size {} and --group-size {}: one must be a multiple of the other.",
            inputs, weights);
}

}  // namespace w8a8
