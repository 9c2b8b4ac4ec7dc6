// Faults in the kernels of embedding, experts and statistics are found: a barrier that is missing,
// sizes that are off by one, operands that are swapped.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/cuda/count_kernels.h"
#include "runtime/cuda/embed_kernels.h"
#include "runtime/cuda/mixture_kernels.h"
#include "tests/cuda/device_matrix.h"
#include "tests/cuda/device_memory.h"
#include "tests/cuda/planted_faults.h"
#include "tests/cuda/slot_values.h"

namespace w8a8::test {
namespace {

constexpr int64_t kRows = 12, kCols = 40;

std::vector<Half> SomeHalves(uint64_t seed) {
  return Halves(RandomHalfFloats(kRows * kCols, seed));
}
std::vector<float> SomeFloats(uint64_t seed) { return RandomFloats(kRows * kCols, seed); }

// Outside memory, never written, or written by two.
bool IsFound(const std::string& error) { return error != "no error was thrown"; }

// ---- embedding ----

struct EmbedOperands {
  EmbedArgsOf<Half> args() const {
    return {.product = product.view(),
            .prefix = prefix.data(),
            .position = position.data(),
            .images = 2,
            .prefix_tokens = 1,
            .out = out.view()};
  }
  DeviceRows<float> product{RandomFloats(10 * kCols, 1), kCols};  // 5 patches of each image
  DeviceArray<float> prefix{RandomFloats(kCols, 2)}, position{RandomFloats(6 * kCols, 3)};
  DeviceRows<Half> out{kRows, kCols};
};

TEST(StepFaults, AnEmbeddingThatIsOffByOneIsFound) {
  const EmbedOperands operands;
  EmbedArgsOf<Half> more = operands.args(), fewer = more, wider = more;
  more.out.rows += 2;
  fewer.out.cols -= 1;
  wider.out.cols += 1;
  EXPECT_TRUE(IsFound(ErrorOf([&] { LaunchEmbed(nullptr, more); })));
  EXPECT_TRUE(IsFound(ErrorOf([&] { LaunchEmbed(nullptr, wider); })));
  LaunchEmbed(nullptr, fewer);
  EXPECT_TRUE(IsFound(ErrorOf([&] { operands.out.Download(); })));
}

TEST(StepFaults, APositionInPlaceOfThePrefixDiffers) {
  const EmbedOperands operands;
  LaunchEmbed(nullptr, operands.args());
  const std::vector<Half> right = operands.out.Download();
  EmbedArgsOf<Half> swapped = operands.args();
  swapped.prefix = operands.position.data();
  LaunchEmbed(nullptr, swapped);
  EXPECT_NE(operands.out.Download(), right);
}

TEST(StepFaults, PatchesOfAnotherSizeAreFound) {
  const DeviceRows<float> pixels(RandomFloats(3 * 6 * 4, 1), 6 * 4);
  const DeviceRows<Half> out(6, 12);
  GatherPatchesArgs args = {.pixels = pixels.view(),
                            .channels = 3,
                            .image_height = 6,
                            .image_width = 4,
                            .patch = 2,
                            .out = out.view()};
  LaunchGatherPatches(nullptr, args);
  const std::vector<Half> right = out.Download();
  args.image_width = 6;
  args.image_height = 4;  // as many pixels
  LaunchGatherPatches(nullptr, args);
  EXPECT_NE(out.Download(), right);
  args.out.rows += 1;
  EXPECT_TRUE(IsFound(ErrorOf([&] { LaunchGatherPatches(nullptr, args); })));
}

TEST(StepFaults, RowsAndColumnsTooManyAreFoundInEveryStep) {
  const DeviceRows<Half> a(SomeHalves(1), kCols), b(SomeHalves(2), kCols);
  const DeviceRows<Half> out(kRows, kCols);
  const DeviceArray<float> row(RandomFloats(kCols, 3));
  const DeviceArray<Half> table(TanhTable());
  MatView<Half> more = out.view(), wider = out.view();
  more.rows += 1;
  wider.cols += 1;
  for (const MatView<Half>& wrong : {more, wider}) {
    EXPECT_TRUE(IsFound(ErrorOf([&] { LaunchBroadcastRow(nullptr, row.data(), wrong); })));
    EXPECT_TRUE(IsFound(ErrorOf([&] { LaunchAverage(nullptr, a.view(), b.view(), wrong); })));
    EXPECT_TRUE(IsFound(ErrorOf([&] { LaunchCopy(nullptr, a.view(), wrong); })));
    EXPECT_TRUE(IsFound(ErrorOf([&] { LaunchTanh(nullptr, table.data(), a.view(), wrong); })));
  }
  EXPECT_TRUE(IsFound(ErrorOf([&] { LaunchSelectRow(nullptr, a.view(), kRows, out.view()); })));
  const DeviceRows<Half> mean(1, kCols);
  MatView<const Half> taller = a.view();
  taller.rows += 1;
  EXPECT_TRUE(IsFound(ErrorOf([&] { LaunchMeanRows(nullptr, taller, 0, mean.view()); })));
}

// ---- experts ----

struct Routed {
  std::vector<float> Run() const {
    const DeviceRows<float> out(kRows, 6);
    LaunchRoute(nullptr, args(out.view()));
    return out.Download();
  }
  RouteArgs args(MatView<float> out) const {
    return {.x = x.view(), .weight = weight.data(), .chosen = 2, .out = out};
  }
  DeviceRows<Half> x{SomeHalves(1), kCols};
  DeviceArray<float> weight{RandomHalfFloats(6 * kCols, 2)};
};

TEST(StepFaults, ARouterNeedsItsBarrier) {
  const Routed routed;
  ExpectEveryBarrierIsNeeded([&] { return routed.Run(); });
}

TEST(StepFaults, ARouterThatIsOffByOneIsFound) {
  const Routed routed;
  const DeviceRows<float> out(kRows, 6);
  RouteArgs more = routed.args(out.view()), wider = more, fewer = more, experts = more;
  more.x.rows += 1;
  wider.x.cols += 1;
  experts.out.cols += 1;
  fewer.x.rows -= 1;
  EXPECT_TRUE(IsFound(ErrorOf([&] { LaunchRoute(nullptr, more); })));
  EXPECT_TRUE(IsFound(ErrorOf([&] { LaunchRoute(nullptr, wider); })));
  EXPECT_TRUE(IsFound(ErrorOf([&] { LaunchRoute(nullptr, experts); })));
  const DeviceRows<float> short_out(kRows, 6);
  fewer.out = short_out.view();
  LaunchRoute(nullptr, fewer);
  EXPECT_TRUE(IsFound(ErrorOf([&] { short_out.Download(); })));
}

TEST(StepFaults, AListOfRowsNeedsItsBarriers) {
  constexpr int64_t kMany = 600;  // three rounds of a block
  const DeviceRows<float> routing(RandomFloats(kMany * 2, 3), 2);
  ExpectEveryBarrierIsNeeded([&] {
    const DeviceArray<int32_t> rows(std::vector<int32_t>(2 * kMany, -1));
    const DeviceArray<int32_t> counts(2);
    LaunchListRouted(nullptr,
                     {.routing = routing.view(), .rows = rows.data(), .counts = counts.data()});
    return rows.Download();
  });
}

TEST(StepFaults, AMixtureThatIsOffByOneIsFound) {
  const DeviceRows<Half> y(SomeHalves(1), kCols), x(SomeHalves(2), kCols);
  const DeviceRows<float> out(SomeFloats(3), kCols), routing(SomeFloats(4), kCols);
  const DeviceArray<float> gate(RandomHalfFloats(kCols, 5));
  const DeviceArray<int32_t> rows(std::vector<int32_t>{0, 3, 12});
  MixArgs mix = {.in = y.view(),
                 .rows = rows.data(),
                 .routing = routing.view(),
                 .expert = 1,
                 .out = out.view()};
  mix.in.rows = 3;  // the last of them is no row
  EXPECT_TRUE(IsFound(ErrorOf([&] { LaunchMix(nullptr, mix); })));
  const DeviceRows<Half> gathered(3, kCols);
  EXPECT_TRUE(
      IsFound(ErrorOf([&] { LaunchGatherRows(nullptr, x.view(), rows.data(), gathered.view()); })));
  MixSharedArgs shared = {.in = y.view(), .x = x.view(), .gate = gate.data(), .out = out.view()};
  shared.in.rows += 1;
  EXPECT_TRUE(IsFound(ErrorOf([&] { LaunchMixShared(nullptr, shared); })));
}

TEST(StepFaults, ASharedExpertsInputInPlaceOfItsOutputDiffers) {
  const DeviceRows<Half> y(SomeHalves(1), kCols), x(SomeHalves(2), kCols);
  const DeviceArray<float> gate(RandomHalfFloats(kCols, 5));
  const auto mixed = [&](const DeviceRows<Half>& in, const DeviceRows<Half>& by) {
    const DeviceRows<float> out(SomeFloats(3), kCols);
    LaunchMixShared(nullptr,
                    {.in = in.view(), .x = by.view(), .gate = gate.data(), .out = out.view()});
    return out.Download();
  };
  EXPECT_NE(mixed(x, y), mixed(y, x));
}

// ---- statistics ----

TEST(StepFaults, StatisticsThatAreOffByOneAreFound) {
  const DeviceRows<Half> x(SomeHalves(1), kCols);
  const DeviceArray<uint64_t> counts(std::vector<uint64_t>(65536, 0));
  const DeviceArray<Half> absmax(kRows), of_channels(kCols);
  const DeviceArray<double> sum(kCols), sum_sq(kCols);
  const DeviceArray<int64_t> first(std::vector<int64_t>{0, kRows + 1});
  MatView<const Half> more = x.view();
  more.rows += 1;
  EXPECT_TRUE(IsFound(
      ErrorOf([&] { LaunchCountPatterns(nullptr, {.rows = more, .counts = counts.data()}); })));
  EXPECT_TRUE(IsFound(ErrorOf([&] { LaunchRowAbsmax(nullptr, more, absmax.data()); })));
  EXPECT_TRUE(IsFound(ErrorOf([&] {
    LaunchImageMoments(nullptr, {.rows = x.view(),
                                 .first_row = first.data(),
                                 .images = 1,
                                 .sum = sum.data(),
                                 .sum_sq = sum_sq.data(),
                                 .absmax = of_channels.data()});
  })));
}

}  // namespace
}  // namespace w8a8::test
