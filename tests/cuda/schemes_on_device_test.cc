// Every scheme of numerics.md section 6 through the whole backend, as a device runs it, against the
// CPU's scalar set: codes, scales, accumulators, outputs and what is counted, in every bit. And the
// emulated arm against the int8 arm on the device itself.
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/base/counter_hash.h"
#include "runtime/cpu/cpu_backend.h"
#include "tests/cpu/kernel_sets.h"
#include "tests/cpu/random_schemes.h"
#include "tests/cuda/backend_on_device.h"
#include "tests/cuda/device_test.h"
#include "tests/runtime/step_bench.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

class SchemesOnDevice : public DeviceTest {};

constexpr SlotId kIn = 0, kOut = 1, kCodes = 2;

struct Outcome {
  std::vector<Half> y;
  std::shared_ptr<const LinearTrace> trace;
};

std::vector<Slot> SlotsOf(const Scheme& scheme) {
  return {HalfSlot(scheme.tokens, scheme.k()), HalfSlot(scheme.tokens, scheme.n()),
          CodesSlot(scheme.tokens, scheme.k())};
}

InputSteps InputOf(const Scheme& scheme) {
  const auto transform = std::make_shared<InputTransform>(scheme.transform);
  return {.quantizer = scheme.plan.input,
          .transform = scheme.transform.empty() ? nullptr : transform,
          .first_row_twice = scheme.plan.first_row_twice};
}

std::vector<Step> Int8Steps(const Scheme& scheme, Backend& backend) {
  const PackedPtr weight = backend.PackInt8(scheme.linear, scheme.group());
  const InputSteps input = InputOf(scheme);
  if (!input.quantizer) {
    return {GemmW8Step{.in = kIn,
                       .out = kOut,
                       .transform = input.transform,
                       .weight = weight,
                       .output = scheme.plan.output}};
  }
  return {QuantizeStep{.in = kIn, .codes = {kCodes, input, scheme.group()}},
          GemmS8Step{.codes = kCodes, .out = kOut, .weight = weight, .output = scheme.plan.output}};
}

std::vector<Step> EmulatedSteps(const Scheme& scheme, Backend& backend) {
  return {GemmCodesStep{.in = kIn,
                        .out = kOut,
                        .input = InputOf(scheme),
                        .weight = backend.PackEmulated(scheme.linear, scheme.group()),
                        .output = scheme.plan.output}};
}

Outcome RunSteps(const Scheme& scheme, Backend& backend, const std::vector<Step>& steps,
                 bool trace) {
  const std::unique_ptr<Arena> arena = backend.MakeArena();
  arena->Prepare(SlotsOf(scheme), {.images = scheme.images});
  arena->Upload(kIn, 0, std::as_bytes(std::span(scheme.x)));
  Outcome outcome;
  for (const Step& step : steps) outcome.trace = arena->Run(step, {.trace = trace}).trace;
  outcome.y = Copy(arena->HostHalf(kOut));
  return outcome;
}

void ExpectEqual(const LinearTrace& expected, const LinearTrace& actual) {
  EXPECT_EQ(Equal(Copy(expected.codes.view()), Copy(actual.codes.view())), "");
  EXPECT_EQ(Equal(expected.input_scale.values, actual.input_scale.values), "");
  EXPECT_EQ(Equal(expected.input_scale.second_values, actual.input_scale.second_values), "");
  EXPECT_EQ(Equal(expected.input_scale.zero_points, actual.input_scale.zero_points), "");
  EXPECT_EQ(Equal(Copy(expected.acc.view()), Copy(actual.acc.view())), "");
  EXPECT_EQ(Equal(Copy(expected.transformed.view()), Copy(actual.transformed.view())), "");
  EXPECT_EQ(Equal(Copy(expected.output_codes.view()), Copy(actual.output_codes.view())), "");
  EXPECT_EQ(expected.output_saturated, actual.output_saturated);
  EXPECT_EQ(expected.counts.nan, actual.counts.nan);
  EXPECT_EQ(expected.counts.inf, actual.counts.inf);
  EXPECT_EQ(expected.counts.saturated, actual.counts.saturated);
  EXPECT_EQ(Equal(expected.weight_code_sum, actual.weight_code_sum), "");
}

TEST_F(SchemesOnDevice, EveryInt8SchemeHasTheBitsOfTheScalarSet) {
  CpuBackend cpu(ScalarSet());
  const std::unique_ptr<Backend> made = MakeBackendOnDevice();
  Backend& device = *made;
  for (const Scheme& scheme : RandomSchemes(false)) {
    SCOPED_TRACE(scheme.Text());
    const Outcome expected = RunSteps(scheme, cpu, Int8Steps(scheme, cpu), true);
    const Outcome actual = RunSteps(scheme, device, Int8Steps(scheme, device), true);
    EXPECT_EQ(Equal(expected.y, actual.y), "");
    ExpectEqual(*expected.trace, *actual.trace);
    const Outcome untraced = RunSteps(scheme, device, Int8Steps(scheme, device), false);
    EXPECT_EQ(Equal(expected.y, untraced.y), "");
  }
}

// Rows, inputs and outputs that every set takes, per-token and without anything that none has a
// fast kernel for.
Scheme PlainScheme() {
  Scheme scheme;
  scheme.tokens = 33;
  const int64_t k = 96, n = 64;
  WeightCodes weight{.n = n, .k = k};
  for (int64_t i = 0; i < n * k; ++i) {
    weight.codes.push_back(static_cast<int8_t>(CounterHash(1, static_cast<uint64_t>(i)) % 255) -
                           127);
  }
  for (int64_t i = 0; i < n; ++i) {
    weight.scale.values.push_back(0.001f * static_cast<float>(1 + i));
  }
  FinishCodes("plain", weight);
  scheme.plan = Normalized({.input = Quantizer{}, .weight = WeightSpec{}}, k);
  scheme.linear = {"plain", weight, RandomFloats(n, 2, 0.5f)};
  for (const float value : RandomFloats(scheme.rows() * k, 3, 2.0f)) {
    scheme.x.push_back(ToHalf(value));
  }
  return scheme;
}

TEST_F(SchemesOnDevice, TheSetItselfMakesAPlainProductWithAndWithoutATrace) {
  const Scheme scheme = PlainScheme();
  CpuBackend cpu(ScalarSet());
  const std::unique_ptr<Backend> device = MakeBackendOnDevice();
  const Outcome expected = RunSteps(scheme, cpu, Int8Steps(scheme, cpu), false);
  const ProductCounts* counts = CountsOfTheSet();
  const int64_t before = counts == nullptr ? 0 : counts->Of(ProductKind::kInt8);
  const int64_t refused = counts == nullptr ? 0 : counts->Of(ProductKind::kInt8Sizes);
  for (int64_t run = 1; run <= 2; ++run) {
    const Outcome actual = RunSteps(scheme, *device, Int8Steps(scheme, *device), run == 2);
    EXPECT_EQ(Equal(expected.y, actual.y), "");
    if (counts == nullptr) continue;
    EXPECT_EQ(counts->Of(ProductKind::kInt8), before + run);
    EXPECT_EQ(counts->Of(ProductKind::kInt8Sizes), refused);
  }
}

TEST_F(SchemesOnDevice, EveryWeightOnlySchemeHasTheBitsOfTheScalarSet) {
  CpuBackend cpu(ScalarSet());
  const std::unique_ptr<Backend> made = MakeBackendOnDevice();
  Backend& device = *made;
  for (const Scheme& scheme : RandomSchemes(true)) {
    SCOPED_TRACE(scheme.Text());
    const Outcome expected = RunSteps(scheme, cpu, Int8Steps(scheme, cpu), true);
    const Outcome actual = RunSteps(scheme, device, Int8Steps(scheme, device), true);
    EXPECT_EQ(Equal(expected.y, actual.y), "");
    ExpectEqual(*expected.trace, *actual.trace);
  }
}

TEST_F(SchemesOnDevice, TheEmulatedArmEqualsTheInt8ArmInEveryBit) {
  const std::unique_ptr<Backend> made = MakeBackendOnDevice();
  Backend& device = *made;
  for (const Scheme& scheme : RandomSchemes(false)) {
    SCOPED_TRACE(scheme.Text());
    const Outcome int8 = RunSteps(scheme, device, Int8Steps(scheme, device), true);
    const Outcome emulated = RunSteps(scheme, device, EmulatedSteps(scheme, device), true);
    EXPECT_EQ(Equal(int8.y, emulated.y), "");
    ExpectEqual(*int8.trace, *emulated.trace);
  }
}

}  // namespace
}  // namespace w8a8::test
