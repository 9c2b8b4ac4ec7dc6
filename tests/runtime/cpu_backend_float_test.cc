// The float steps of the CPU backend against the textbook in binary64.
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "quant/fake_quant.h"
#include "runtime/cpu/cpu_arena.h"
#include "runtime/cpu/cpu_backend.h"
#include "tests/runtime/step_bench.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

CpuBackend& TestBackend() {
  static CpuBackend backend(Select(""));
  return backend;
}

// Both ways of computing one value; `naive` is rounded to FP16 as the slot is.
struct Expected {
  std::vector<double> exact;
  std::vector<float> naive;
  void Add(double exact_value, float naive_value) {
    exact.push_back(exact_value);
    naive.push_back(RoundedToHalf(naive_value));
  }
};

// x [rows, k] * weight [n, k] + bias.
Expected PlainLinear(const std::vector<float>& x, const std::vector<float>& weight,
                     const std::vector<float>& bias, size_t k) {
  Expected expected;
  for (size_t row = 0; row < x.size() / k; ++row) {
    for (size_t n = 0; n < weight.size() / k; ++n) {
      double exact = 0;
      float naive = 0;
      for (size_t i = 0; i < k; ++i) {
        exact += double{x[row * k + i]} * double{weight[n * k + i]};
        naive += x[row * k + i] * weight[n * k + i];
      }
      const float b = bias.empty() ? 0.0f : bias[n];
      expected.Add(exact + double{b}, naive + b);
    }
  }
  return expected;
}

TEST(GemmF16Step, IsAtMostTwiceAsWrongAsThePlainLoop) {
  CpuArena arena(Select(""));
  arena.Prepare({HalfSlot(50, 192), HalfSlot(50, 67)}, {.images = 3});
  FillSlot(arena, 0, 1);
  const std::vector<float> weight = RandomHalfFloats(67 * 192, 2);
  for (const std::vector<float>& bias : {RandomFloats(67, 3), std::vector<float>()}) {
    GemmF16Step step;
    step.in = 0;
    step.out = 1;
    step.weight = TestBackend().PackFloat({weight.data(), 67, 192, 192}, FloatOperands::kHalf);
    step.bias = Shared(bias);
    arena.Run(step, {});
    const Expected e = PlainLinear(CopyFloats(arena.HostHalf(0)), weight, bias, 192);
    EXPECT_EQ(TwiceNaive(e.exact, e.naive, CopyFloats(arena.HostHalf(1))), "");
  }
}

TEST(GemmFakeStep, MultipliesTheDequantizedInput) {
  CpuArena arena(Select(""));
  arena.Prepare({HalfSlot(20, 96), HalfSlot(20, 33)}, {.images = 2});
  FillSlot(arena, 0, 1, 0, 4.0f);
  const std::vector<float> weight = RandomFloats(33 * 96, 2);
  const std::vector<float> bias = RandomFloats(33, 3);
  const PackedPtr packed =
      TestBackend().PackFloat({weight.data(), 33, 96, 96}, FloatOperands::kHalf);
  for (const FakeFlavour flavour : {FakeFlavour::kIdeal, FakeFlavour::kLlmAwq}) {
    const Quantizer spec{.clip_range = 3.0f};
    GemmFakeStep step;
    step.in = 0;
    step.out = 1;
    step.input.quantizer = spec;
    step.flavour = flavour;
    step.weight = packed;
    step.bias = Shared(bias);
    const std::shared_ptr<const LinearTrace> trace = arena.Run(step, {.trace = true}).trace;
    std::vector<float> values(40 * 96);
    const ReferenceRows rows = QuantizeDequantizeRows(arena.HostHalf(0), {.quantizer = spec},
                                                      flavour, {values.data(), 40, 96, 96});
    const Expected e = PlainLinear(values, weight, bias, 96);
    EXPECT_EQ(TwiceNaive(e.exact, e.naive, CopyFloats(arena.HostHalf(1))), "");
    EXPECT_EQ(Equal(rows.codes, Copy(trace->codes.view())), "");
    EXPECT_EQ(Equal(rows.scales.values, trace->input_scale.values), "");
    EXPECT_EQ(trace->acc.view().rows, 0);
  }
}

EmbedStep TinyEmbed(int64_t prefix_tokens) {
  EmbedStep step{.pixels = 0,
                 .out = 1,
                 .patch_weight = nullptr,
                 .patch_bias = Shared(RandomFloats(8, 2)),
                 .prefix = Shared(prefix_tokens > 0 ? RandomFloats(8 * prefix_tokens, 3)
                                                    : std::vector<float>()),
                 .position = Shared(RandomFloats((6 + prefix_tokens) * 8, 4)),
                 .channels = 3,
                 .image_height = 8,
                 .image_width = 12,
                 .patch = 4};
  const std::vector<float> weight = RandomHalfFloats(8 * 48, 1);
  step.patch_weight = TestBackend().PackFloat({weight.data(), 8, 48, 48}, FloatOperands::kHalf);
  return step;
}

// A convolution with stride = kernel = patch, as models write it: one loop per index.
Expected PlainEmbed(const EmbedStep& step, MatView<const float> pixels, int64_t images) {
  const std::vector<float> weight = RandomHalfFloats(8 * 48, 1);
  Expected expected;
  for (int64_t image = 0; image < images; ++image) {
    size_t token = 0;
    for (; token < step.prefix->size() / 8; ++token) {
      for (size_t d = 0; d < 8; ++d) {
        const float c = (*step.prefix)[token * 8 + d], p = (*step.position)[token * 8 + d];
        expected.Add(double{c} + double{p}, c + p);
      }
    }
    for (int64_t grid_y = 0; grid_y < 2; ++grid_y) {
      for (int64_t grid_x = 0; grid_x < 3; ++grid_x, ++token) {
        for (size_t d = 0; d < 8; ++d) {
          double exact = 0;
          float naive = 0;
          size_t k = d * 48;
          for (int64_t c = 0; c < 3; ++c) {
            for (int64_t y = 0; y < 4; ++y) {
              for (int64_t x = 0; x < 4; ++x, ++k) {
                const int64_t column = (grid_y * 4 + y) * 12 + grid_x * 4 + x;
                const float pixel = RoundedToHalf(pixels.row(image * 3 + c)[column]);
                exact += double{pixel} * double{weight[k]};
                naive += pixel * weight[k];
              }
            }
          }
          const float b = (*step.patch_bias)[d], p = (*step.position)[token * 8 + d];
          expected.Add(exact + double{b} + double{p}, naive + b + p);
        }
      }
    }
  }
  return expected;
}

TEST(EmbedStep, IsTheConvolutionPlusPositionWithAndWithoutAClassToken) {
  for (const int64_t prefix_tokens : {0, 1, 3}) {
    const EmbedStep step = TinyEmbed(prefix_tokens);
    CpuArena arena(Select(""));
    arena.Prepare({FloatSlot(3, 96), HalfSlot(6 + prefix_tokens, 8)}, {.images = 2});
    SetSlot(arena, 0, RandomFloats(2 * 3 * 96, 5, 2.0f));
    arena.Run(step, {});
    const Expected e = PlainEmbed(step, arena.HostFloats(0), 2);
    EXPECT_EQ(TwiceNaive(e.exact, e.naive, CopyFloats(arena.HostHalf(1))), "")
        << prefix_tokens << " prefix tokens";
  }
}

TEST(AttentionStep, ReadsQueriesKeysAndValuesFromColumnsOfTheirSlots) {
  // Self-attention of two images from one fused slot, and one query per image against k and v.
  CpuArena arena(Select(""));
  arena.Prepare({HalfSlot(10, 48), HalfSlot(10, 16), HalfSlot(1, 16), HalfSlot(1, 16)},
                {.images = 2});
  FillSlot(arena, 0, 1, 0, 2.0f);
  FillSlot(arena, 2, 2, 0, 2.0f);
  const auto check = [&](SlotId q_slot, SlotId out_slot) {
    arena.Run(AttentionStep{.q = q_slot,
                            .kv = 0,
                            .out = out_slot,
                            .q_col = 0,
                            .k_col = 16,
                            .v_col = 32,
                            .heads = 2,
                            .head_dim = 8},
              {});
    for (int64_t image = 0; image < 2; ++image) {
      const MatView<const Half> all = HalfOf(arena, 0, image);
      const MatView<const Half> q = HalfOf(arena, q_slot, image).ColRange(0, 16);
      std::vector<Half> expected(static_cast<size_t>(q.rows * 16));
      AttentionScratch scratch;
      RunAttention(*Select("").floats->attention[0],
                   {.q = q,
                    .k = all.ColRange(16, 16),
                    .v = all.ColRange(32, 16),
                    .out = {expected.data(), q.rows, 16, 16},
                    .heads = 2,
                    .head_dim = 8},
                   &scratch);
      EXPECT_EQ(Equal(expected, Copy(HalfOf(arena, out_slot, image))), "") << "image " << image;
    }
  };
  check(0, 1);
  check(2, 3);
}

TEST(RowSteps, BroadcastSelectAndMean) {
  CpuArena arena(Select(""));
  arena.Prepare({HalfSlot(5, 9), HalfSlot(1, 9), HalfSlot(1, 9), HalfSlot(1, 9)}, {.images = 2});
  FillSlot(arena, 0, 1);
  const std::vector<float> row = RandomFloats(9, 2);
  arena.Run(BroadcastStep{.out = 1, .row = Shared(row)}, {});
  arena.Run(SelectRowStep{.in = 0, .out = 2, .row = 3}, {});
  arena.Run(MeanRowsStep{.in = 0, .out = 3, .first_row = 1}, {});
  for (int64_t image = 0; image < 2; ++image) {
    const std::vector<float> in = CopyFloats(HalfOf(arena, 0, image));
    Expected mean;
    for (size_t c = 0; c < 9; ++c) {
      EXPECT_EQ(HalfOf(arena, 1, image).data[c], ToHalf(row[c]));
      EXPECT_EQ(HalfOf(arena, 2, image).data[c], ToHalf(in[3 * 9 + c]));
      double exact = 0;
      float naive = 0;
      for (size_t r = 1; r < 5; ++r) {
        exact += double{in[r * 9 + c]};
        naive += in[r * 9 + c];
      }
      mean.Add(exact / 4, naive / 4);
    }
    EXPECT_EQ(TwiceNaive(mean.exact, mean.naive, CopyFloats(HalfOf(arena, 3, image))), "");
  }
}

TEST(RowSteps, AGateIsTheActivationOfTheFirstHalfTimesTheSecond) {
  CpuArena arena(Select(""));
  arena.Prepare({HalfSlot(5, 18), HalfSlot(5, 9)}, {.images = 2});
  FillSlot(arena, 0, 1, 0, 4.0f);
  arena.Run(GateStep{.in = 0, .out = 1, .kind = ActivationKind::kSilu}, {});
  const std::vector<float> in = CopyFloats(arena.HostHalf(0));
  const std::vector<float> out = CopyFloats(arena.HostHalf(1));
  for (size_t row = 0; row < 10; ++row) {
    for (size_t col = 0; col < 9; ++col) {
      const double gate = in[row * 18 + col];
      const double silu = gate / (1.0 + std::exp(-gate));
      const double value = in[row * 18 + 9 + col];
      // Two roundings to FP16: the silu's, which may be an ulp off, and the product's.
      EXPECT_NEAR(out[row * 9 + col], silu * value,
                  HalfUlp(silu) * std::abs(value) + HalfUlp(silu * value))
          << row << " " << col;
    }
  }
}

TEST(RowSteps, AnAverageIsRoundedOnce) {
  CpuArena arena(Select(""));
  arena.Prepare({HalfSlot(1, 3), HalfSlot(1, 3), HalfSlot(1, 3)}, {.images = 1});
  const float mean[] = {1.0f, 65504.0f, 1025.0f};  // the first is a tie, to even
  SetSlot(arena, 0, {1.0f, 65504.0f, 2048.0f});
  SetSlot(arena, 1, {0x1p-10f + 1.0f, 65504.0f, 2.0f});
  arena.Run(AverageStep{.a = 0, .b = 1, .out = 2}, {});
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(ToFloat(arena.HostHalf(2).data[i]), mean[i]) << i;
}

}  // namespace
}  // namespace w8a8::test
