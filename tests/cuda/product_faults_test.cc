// Faults planted in the products are found: a barrier that is missing, a size that is off by one,
// scales that are swapped.
#include <vector>

#include <gtest/gtest.h>

#include "runtime/cuda/float_product_kernels.h"
#include "runtime/cuda/product_kernels.h"
#include "tests/cuda/device_memory.h"
#include "tests/cuda/planted_faults.h"

namespace w8a8::test {
namespace {

constexpr int64_t kM = 5, kN = 9, kK = 150, kStride = 160;

std::vector<int8_t> Codes(int64_t rows) {
  std::vector<int8_t> codes;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t k = 0; k < kStride; ++k) {
      codes.push_back(static_cast<int8_t>(k < kK ? (r * 37 + k * 11) % 127 - 60 : 0));
    }
  }
  return codes;
}

std::vector<float> Scales(int64_t count, float first) {
  std::vector<float> scales;
  for (int64_t i = 0; i < count; ++i) scales.push_back(first + 0.003f * static_cast<float>(i));
  return scales;
}

// A product of every kind over the same operands.
struct Operands {
  ProductArgs args() const {
    return {.m = kM,
            .n = kN,
            .k = kK,
            .x = x.data(),
            .x_stride = kStride,
            .weight = weight.data(),
            .weight_stride = kStride,
            .scale_x = scale_x.data(),
            .scale_w = scale_w.data(),
            .bias = bias.data(),
            .y = y.data(),
            .y_stride = kN,
            .acc = nullptr};
  }
  static GroupedProductArgs Grouped(const ProductArgs& product) {
    return {.product = product,
            .group = kK,
            .scales = GroupScales::kWeights,
            .scale_groups_w = 1,
            .zero_point_x = nullptr,
            .zero_point_w = nullptr,
            .acc_rows = kM};
  }
  FloatProductArgs Float() const {
    return {.m = kM,
            .n = kN,
            .k = kK,
            .x = args().x,
            .x_stride = kStride,
            .weight = args().weight,
            .weight_stride = kStride,
            .bias = bias.data(),
            .half = y.data(),
            .floats = nullptr,
            .y_stride = kN};
  }
  WeightOnlyProductArgs WeightOnly(const Half* rows) const {
    return {.m = kM,
            .n = kN,
            .k = kK,
            .x = rows,
            .x_stride = kK,
            .weight = weight.data(),
            .weight_stride = kStride,
            .group = kK,
            .scale_groups_w = 1,
            .scale_w = scale_w.data(),
            .zero_point_w = nullptr,
            .bias = bias.data(),
            .y = y.data(),
            .y_stride = kN};
  }
  DeviceArray<int8_t> x{Codes(kM)}, weight{Codes(kN)};
  DeviceArray<float> scale_x{Scales(kM, 0.01f)}, scale_w{Scales(kN, 0.2f)}, bias{Scales(kN, 1.0f)};
  DeviceArray<Half> y{static_cast<size_t>(kM * kN)};
};

TEST(ProductFaults, EveryBarrierOfTheTensorCoreProductIsNeeded) {
  ExpectEveryBarrierIsNeeded([] {
    const Operands operands;
    LaunchProduct(nullptr, operands.args());
    return operands.y.Download();
  });
}

TEST(ProductFaults, EveryBarrierOfTheOtherProductsIsNeeded) {
  ExpectEveryBarrierIsNeeded(
      [] {
        const Operands operands;
        LaunchGroupedProduct(nullptr, Operands::Grouped(operands.args()));
        return operands.y.Download();
      },
      1);
  ExpectEveryBarrierIsNeeded(
      [] {
        const Operands operands;
        const DeviceArray<Half> rows(std::vector<Half>(kM * kK, Half{0x3c00}));
        LaunchWeightOnlyProduct(nullptr, operands.WeightOnly(rows.data()));
        return operands.y.Download();
      },
      1);
  ExpectEveryBarrierIsNeeded(
      [] {
        const Operands operands;
        LaunchFmaProduct(nullptr, operands.Float());
        return operands.y.Download();
      },
      1);
}

// One of each size too many is outside the operands, one too few leaves an output unwritten.
TEST(ProductFaults, ASizeThatIsOffByOneIsFound) {
  const auto error_of = [](int64_t m, int64_t n, int64_t k) {
    return ErrorOf([&] {
      const Operands operands;
      ProductArgs args = operands.args();
      args.m = m;
      args.n = n;
      args.k = k;
      LaunchProduct(nullptr, args);
      operands.y.Download();
      LaunchGroupedProduct(nullptr, Operands::Grouped(args));
      operands.y.Download();
    });
  };
  EXPECT_EQ(error_of(kM, kN, kK), "no error was thrown");
  EXPECT_TRUE(Contains(error_of(kM + 1, kN, kK), "outside"));
  EXPECT_TRUE(Contains(error_of(kM, kN + 1, kK), "outside"));
  EXPECT_TRUE(Contains(error_of(kM - 1, kN, kK), "nobody wrote"));
  EXPECT_TRUE(Contains(error_of(kM, kN - 1, kK), "nobody wrote"));
}

TEST(ProductFaults, ATailOfInputsThatIsOffByOneChangesTheResult) {
  const auto result = [](int64_t k) {
    const Operands operands;
    ProductArgs args = operands.args();
    args.k = k;
    LaunchGroupedProduct(nullptr, Operands::Grouped(args));
    return operands.y.Download();
  };
  EXPECT_NE(result(kK), result(kK - 1));
}

TEST(ProductFaults, SwappedScalesChangeTheResult) {
  const auto result = [](bool swapped) {
    const Operands operands;
    ProductArgs args = operands.args();
    const DeviceArray<Half> y(kM * kM);
    args.m = args.n = args.y_stride = kM;
    args.y = y.data();
    if (swapped) std::swap(args.scale_x, args.scale_w);
    LaunchProduct(nullptr, args);
    return y.Download();
  };
  EXPECT_NE(result(false), result(true));
}

}  // namespace
}  // namespace w8a8::test
