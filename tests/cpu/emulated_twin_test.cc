// The emulated arm, which shares no packing, kernel or epilogue with int8, against it under every
// scheme of numerics.md section 6, and the outputs' quantizer of every set against the reference.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "quant/reference_quantizer.h"
#include "runtime/cpu/cpu_arena.h"
#include "runtime/cpu/cpu_backend.h"
#include "tests/cpu/kernel_sets.h"
#include "tests/cpu/random_schemes.h"
#include "tests/runtime/step_bench.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

constexpr SlotId kRowsIn = 0, kInt8Out = 1, kEmulatedOut = 2, kRowCodes = 3;

struct Twins {
  std::vector<Half> int8_y, emulated_y;
  std::shared_ptr<const LinearTrace> int8, emulated;
};

Twins RunTwins(const Kernels& kernels, const Scheme& scheme) {
  CpuBackend backend(kernels);
  CpuArena arena(kernels);
  arena.Prepare({HalfSlot(scheme.tokens, scheme.k()), HalfSlot(scheme.tokens, scheme.n()),
                 HalfSlot(scheme.tokens, scheme.n()), CodesSlot(scheme.tokens, scheme.k())},
                {.images = scheme.images});
  arena.Upload(kRowsIn, 0, std::as_bytes(std::span(scheme.x)));
  InputSteps input{.quantizer = scheme.plan.input, .first_row_twice = scheme.plan.first_row_twice};
  if (!scheme.transform.empty()) {
    input.transform = std::make_shared<InputTransform>(scheme.transform);
  }
  arena.Run(QuantizeStep{.in = kRowsIn,
                         .codes = {.slot = kRowCodes, .input = input, .group = scheme.group()}},
            {});
  Twins twins;
  twins.int8 = arena
                   .Run(GemmS8Step{.codes = kRowCodes,
                                   .out = kInt8Out,
                                   .weight = backend.PackInt8(scheme.linear, scheme.group()),
                                   .output = scheme.plan.output},
                        {.trace = true})
                   .trace;
  twins.emulated =
      arena
          .Run(GemmCodesStep{.in = kRowsIn,
                             .out = kEmulatedOut,
                             .input = input,
                             .weight = backend.PackEmulated(scheme.linear, scheme.group()),
                             .output = scheme.plan.output},
               {.trace = true})
          .trace;
  twins.int8_y = Copy(arena.HostHalf(kInt8Out));
  twins.emulated_y = Copy(arena.HostHalf(kEmulatedOut));
  return twins;
}

TEST(EmulatedTwin, EqualsInt8InEveryNumberOfEveryScheme) {
  size_t codes = 0, sums = 0, second = 0, zero_points = 0, output_codes = 0, transformed = 0;
  for (const Scheme& scheme : RandomSchemes(/*weight_only=*/false)) {
    for (const Kernels& set : SetsUnderTest()) {
      const Twins twins = RunTwins(set, scheme);
      const LinearTrace &int8 = *twins.int8, &emulated = *twins.emulated;
      const std::string where = std::string(set.name) + ": " + scheme.Text();
      const auto equal = [&](const auto& expected, const auto& actual, const char* what) {
        EXPECT_EQ(Equal(Copy(expected.view()), Copy(actual.view())), "") << where << ": " << what;
        return Copy(actual.view()).size();
      };
      codes += equal(emulated.codes, int8.codes, "codes");
      sums += equal(emulated.acc, int8.acc, "accumulators");
      transformed += equal(emulated.transformed, int8.transformed, "transformed rows");
      output_codes += equal(emulated.output_codes, int8.output_codes, "output codes");
      const RowScales &scales = emulated.input_scale, &others = int8.input_scale;
      EXPECT_EQ(Equal(scales.values, others.values), "") << where;
      EXPECT_EQ(Equal(scales.second_values, others.second_values), "") << where;
      EXPECT_EQ(scales.zero_points, others.zero_points) << where;
      EXPECT_EQ(emulated.weight_code_sum, int8.weight_code_sum) << where;
      EXPECT_EQ(emulated.output_saturated, int8.output_saturated) << where;
      EXPECT_EQ(emulated.counts.saturated, int8.counts.saturated) << where;
      EXPECT_EQ(Equal(twins.emulated_y, twins.int8_y), "") << where;
      second += scales.second_values.size();
      zero_points += scales.zero_points.size();
    }
  }
  for (const size_t compared : {codes, sums, second, zero_points, output_codes, transformed}) {
    EXPECT_GT(compared, 0u);
  }
}

// Every FP16 value; the least scale gives codes whose values FP16 rounds to zero, stored as +0.
TEST(QuantizedOutputs, GoThroughTheirCodesAsTheReferenceSays) {
  std::vector<Half> all(65536);
  for (size_t i = 0; i < all.size(); ++i) all[i].bits = static_cast<uint16_t>(i);
  for (const float scale : {0.05f, 1.0f, 500.0f, 1e-8f, 1e-10f}) {
    const Quantizer output = Quantizer::Static(scale);
    std::vector<Half> expected = all;
    std::vector<int8_t> expected_codes(all.size());
    const uint64_t saturated = QuantizeOutputs(output, {expected.data(), 5, 13107, 13107},
                                               {expected_codes.data(), 5, 13107, 13107});
    for (const Kernels& set : SetsUnderTest()) {
      std::vector<Half> y = all;
      std::vector<int8_t> codes(all.size());
      uint64_t counted = 0;
      set.int8->quantize_outputs({.y = y.data(),
                                  .y_stride = 13107,
                                  .rows = 5,
                                  .cols = 13107,
                                  .scale = scale,
                                  .inv_scale = 1.0f / scale,
                                  .codes = codes.data(),
                                  .codes_stride = 13107,
                                  .saturated = &counted});
      EXPECT_EQ(Equal(expected, y), "") << set.name << " " << scale;
      EXPECT_EQ(Equal(expected_codes, codes), "") << set.name << " " << scale;
      EXPECT_EQ(counted, saturated) << set.name << " " << scale;
    }
  }
}

}  // namespace
}  // namespace w8a8::test
