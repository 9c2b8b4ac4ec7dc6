// The steps around experts, against the CPU's arena and the contract.
#include "runtime/cuda/mixture_kernels.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "quant/exponential.h"
#include "runtime/cpu/cpu_arena.h"
#include "runtime/cpu/kernels.h"
#include "tests/cuda/device_matrix.h"
#include "tests/cuda/device_memory.h"
#include "tests/cuda/device_test.h"
#include "tests/cuda/slot_values.h"
#include "tests/runtime/step_bench.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

class MixtureKernels : public DeviceTest {};

struct Case {
  int64_t rows, cols, experts, chosen;
  int64_t gap;  // behind each row
};
const std::vector<Case> kCases = {{1, 1, 1, 1, 0},    {5, 7, 3, 2, 3},   {33, 72, 4, 2, 0},
                                  {9, 192, 8, 1, 8},  {3, 255, 5, 5, 0}, {3, 257, 40, 3, 5},
                                  {5, 1152, 6, 2, 0}, {730, 8, 2, 1, 8}};

// What is not finite stays in the first rows: of a row with a NaN all logits are NaN.
std::vector<float> Inputs(const Case& c) {
  std::vector<float> x = AnyHalves(c.rows * c.cols, 1);
  const std::vector<float> finite = RandomHalfFloats(c.rows * c.cols, 2, 2.0f);
  const size_t first = static_cast<size_t>(c.rows / 3 * c.cols);
  std::copy(finite.begin() + static_cast<ptrdiff_t>(first), finite.end(),
            x.begin() + static_cast<ptrdiff_t>(first));
  return x;
}

std::vector<float> RoutingOnCpu(const Case& c, const std::vector<float>& weight, bool renormalized,
                                const std::vector<uint8_t>& key_mask) {
  CpuArena arena(Select("scalar"));
  arena.Prepare({HalfSlot(c.rows, c.cols), FloatSlot(c.rows, c.experts)},
                {.images = 1, .key_mask = key_mask});
  SetSlot(arena, 0, Inputs(c));
  arena.Run(RouteStep{.in = 0,
                      .out = 1,
                      .weight = Shared(weight),
                      .experts = c.experts,
                      .chosen = c.chosen,
                      .renormalized = renormalized},
            {});
  return Copy(arena.HostFloats(1));
}

std::vector<uint8_t> EveryFourthMasked(int64_t rows) {
  std::vector<uint8_t> mask(static_cast<size_t>(rows), 1);
  for (size_t row = 3; row < mask.size(); row += 4) mask[row] = 0;
  return mask;
}

TEST_F(MixtureKernels, RouteLikeTheCpu) {
  for (const Case& c : kCases) {
    const DeviceRows<Half> x(Halves(Inputs(c)), c.cols, {0, c.gap});
    const std::vector<float> weight = RandomHalfFloats(c.experts * c.cols, 3);
    const DeviceArray<float> weights(weight);
    const std::vector<uint8_t> mask = EveryFourthMasked(c.rows);
    const DeviceArray<uint8_t> masks(mask);
    for (const bool renormalized : {false, true}) {
      const DeviceRows<float> out(c.rows, c.experts, {0, c.gap});
      LaunchRoute(nullptr, {.x = x.view(),
                            .weight = weights.data(),
                            .key_mask = renormalized ? masks.data() : nullptr,
                            .chosen = c.chosen,
                            .renormalized = renormalized,
                            .out = out.view()});
      EXPECT_EQ(
          Equal(RoutingOnCpu(c, weight, renormalized, renormalized ? mask : std::vector<uint8_t>()),
                out.Download()),
          "")
          << c.rows << " rows of " << c.cols;
    }
  }
}

TEST_F(MixtureKernels, OfEqualLogitsTheLowerExpertsAreChosen) {
  const DeviceRows<Half> x(std::vector<Half>(2 * 8, ToHalf(1.0f)), 8);
  const DeviceArray<float> weight(std::vector<float>(4 * 8, 0.0f));
  const DeviceRows<float> out(2, 4);
  LaunchRoute(nullptr, {.x = x.view(), .weight = weight.data(), .chosen = 2, .out = out.view()});
  EXPECT_EQ(out.Download(), (std::vector<float>{0.25f, 0.25f, -1, -1, 0.25f, 0.25f, -1, -1}));
}

// Weights of rows, kNotRouted for two in three.
std::vector<float> Routing(const Case& c) {
  std::vector<float> routing = RandomFloats(c.rows * c.experts, 4);
  for (size_t i = 0; i < routing.size(); ++i) {
    routing[i] = i * 7 % 11 % 3 == 0 ? std::abs(routing[i]) : kNotRouted;
  }
  return routing;
}

std::vector<int32_t> RowsOf(const Case& c, const std::vector<float>& routing, int64_t expert) {
  std::vector<int32_t> rows;
  for (int64_t row = 0; row < c.rows; ++row) {
    if (routing[static_cast<size_t>(row * c.experts + expert)] != kNotRouted) {
      rows.push_back(static_cast<int32_t>(row));
    }
  }
  return rows;
}

TEST_F(MixtureKernels, ListEachExpertsRowsAscending) {
  for (const Case& c : kCases) {
    const std::vector<float> weights = Routing(c);
    const DeviceRows<float> routing(weights, c.experts, {0, c.gap});
    const DeviceArray<int32_t> rows(
        std::vector<int32_t>(static_cast<size_t>(c.experts * c.rows), -1));
    const DeviceArray<int32_t> counts(static_cast<size_t>(c.experts));
    LaunchListRouted(nullptr,
                     {.routing = routing.view(), .rows = rows.data(), .counts = counts.data()});
    const std::vector<int32_t> listed = rows.Download();
    for (int64_t expert = 0; expert < c.experts; ++expert) {
      std::vector<int32_t> expected = RowsOf(c, weights, expert);
      EXPECT_EQ(counts.Download()[static_cast<size_t>(expert)],
                static_cast<int32_t>(expected.size()));
      expected.resize(static_cast<size_t>(c.rows), -1);
      const auto first = listed.begin() + expert * c.rows;
      EXPECT_EQ(std::vector<int32_t>(first, first + c.rows), expected);
    }
  }
}

TEST_F(MixtureKernels, GatherAnExpertsRowsAndMixWhatItGave) {
  for (const Case& c : kCases) {
    const std::vector<float> weights = Routing(c);
    const int64_t expert = c.experts - 1;
    const std::vector<int32_t> rows = RowsOf(c, weights, expert);
    if (rows.empty()) continue;
    const std::vector<Half> in = Halves(AnyHalves(c.rows * c.cols, 5));
    std::vector<float> sums = RandomFloats(c.rows * c.cols, 6);
    const DeviceRows<Half> x(in, c.cols, {0, c.gap});
    const DeviceArray<int32_t> list(rows);
    const DeviceRows<Half> gathered(static_cast<int64_t>(rows.size()), c.cols, {0, c.gap});
    const DeviceRows<float> routing(weights, c.experts), out(sums, c.cols, {0, c.gap});
    LaunchGatherRows(nullptr, x.view(), list.data(), gathered.view());
    LaunchMix(nullptr, {.in = gathered.view(),
                        .rows = list.data(),
                        .routing = routing.view(),
                        .expert = expert,
                        .out = out.view()});
    std::vector<Half> expected;
    for (const int32_t row : rows) {
      const float weight = weights[static_cast<size_t>(row * c.experts + expert)];
      for (int64_t col = 0; col < c.cols; ++col) {
        const auto at = static_cast<size_t>(row * c.cols + col);
        expected.push_back(in[at]);
        sums[at] = std::fma(weight, ToFloat(in[at]), sums[at]);
      }
    }
    EXPECT_EQ(Equal(expected, gathered.Download()), "");
    EXPECT_EQ(Equal(sums, out.Download()), "");
  }
}

TEST_F(MixtureKernels, MixASharedExpertLikeTheCpu) {
  for (const Case& c : kCases) {
    CpuArena arena(Select("scalar"));
    arena.Prepare(
        {HalfSlot(c.rows, c.experts), HalfSlot(c.rows, c.cols), FloatSlot(c.rows, c.experts)},
        {.images = 1});
    const std::vector<float> in = AnyHalves(c.rows * c.experts, 7);
    const std::vector<float> sums = RandomFloats(c.rows * c.experts, 8);
    const std::vector<float> gate = RandomHalfFloats(c.cols, 9);
    SetSlot(arena, 0, in);
    SetSlot(arena, 1, Inputs(c));
    SetSlot(arena, 2, sums);
    arena.Run(MixSharedStep{.in = 0, .x = 1, .out = 2, .gate = Shared(gate)}, {});
    const DeviceRows<Half> y(Halves(in), c.experts, {0, c.gap}),
        x(Halves(Inputs(c)), c.cols, {0, c.gap});
    const DeviceRows<float> out(sums, c.experts, {0, c.gap});
    const DeviceArray<float> gates(gate);
    LaunchMixShared(nullptr,
                    {.in = y.view(), .x = x.view(), .gate = gates.data(), .out = out.view()});
    EXPECT_EQ(Equal(Copy(arena.HostFloats(2)), out.Download()), "");
  }
}

}  // namespace
}  // namespace w8a8::test
