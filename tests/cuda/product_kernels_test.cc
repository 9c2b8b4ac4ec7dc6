// The INT8 products for every GPU against numerics.md's formulas, one element after the other.
#include "runtime/cuda/product_kernels.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "quant/numerics.h"
#include "runtime/cuda/epilogue_kernels.h"
#include "runtime/cuda/row_kernels.h"
#include "tests/cuda/device_memory.h"
#include "tests/cuda/device_test.h"
#include "tests/cuda/slot_values.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

constexpr Half kUnwritten{0xd5d5};

// A layer and rows of codes, random, padded as the kernels want them.
struct Problem {
  Problem(int64_t rows_of_x, int64_t outputs, int64_t inputs, int64_t second = 0)
      : m(rows_of_x), n(outputs), k(inputs), rows(rows_of_x + second) {
    std::mt19937 random(static_cast<uint32_t>(m * 31 + n * 7 + k));
    std::uniform_int_distribution<int> code(-128, 127);
    std::uniform_real_distribution<float> scale(0.001f, 0.1f);
    stride = (k + kCodesAlignment - 1) / kCodesAlignment * kCodesAlignment;
    x.resize(static_cast<size_t>(rows * stride));
    weight.resize(static_cast<size_t>(n * stride));
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t i = 0; i < k; ++i) X(r, i) = static_cast<int8_t>(code(random));
      scale_x.push_back(scale(random));
    }
    for (int64_t r = 0; r < n; ++r) {
      for (int64_t i = 0; i < k; ++i) W(r, i) = static_cast<int8_t>(code(random));
      scale_w.push_back(scale(random));
      bias.push_back(scale(random) - 0.05f);
    }
  }
  int8_t& X(int64_t r, int64_t i) { return x[static_cast<size_t>(r * stride + i)]; }
  int8_t& W(int64_t r, int64_t i) { return weight[static_cast<size_t>(r * stride + i)]; }
  int32_t Acc(int64_t r, int64_t c) {
    int32_t acc = 0;
    for (int64_t i = 0; i < k; ++i) acc += int32_t{X(r, i)} * int32_t{W(c, i)};
    return acc;
  }

  int64_t m, n, k, rows, stride;
  std::vector<int8_t> x, weight;
  std::vector<float> scale_x, scale_w, bias;
};

// The problem on the device, with room for what comes out.
struct OnDevice {
  explicit OnDevice(const Problem& p)
      : x(p.x),
        weight(p.weight),
        scale_x(p.scale_x),
        scale_w(p.scale_w),
        bias(p.bias),
        y(static_cast<size_t>(p.m * p.n)),
        acc(static_cast<size_t>(p.rows * p.n)),
        args{.m = p.m,
             .n = p.n,
             .k = p.k,
             .x = x.data(),
             .x_stride = p.stride,
             .weight = weight.data(),
             .weight_stride = p.stride,
             .scale_x = scale_x.data(),
             .scale_w = scale_w.data(),
             .bias = bias.data(),
             .y = y.data(),
             .y_stride = p.n,
             .acc = acc.data()} {}
  DeviceArray<int8_t> x, weight;
  DeviceArray<float> scale_x, scale_w, bias;
  DeviceArray<Half> y;
  DeviceArray<int32_t> acc;
  ProductArgs args;
};

class ProductKernels : public DeviceTest {};

struct Shape {
  int64_t m, n, k;
};
// Single rows, tiles that end inside, and K of no multiple of anything (588 and 4,304 are real
// ones).
const Shape kShapes[] = {{1, 1, 1},      {1, 8, 32},     {5, 9, 33},
                         {33, 129, 72},  {129, 40, 588}, {17, 16, 4304},
                         {130, 200, 64}, {729, 8, 16},   {1025, 8, 48}};

TEST_F(ProductKernels, TensorCoresGiveTheExactProductsAndTheirDequantizedValues) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(shape.k);
    Problem p(shape.m, shape.n, shape.k);
    const OnDevice device(p);
    LaunchProduct(nullptr, device.args);
    std::vector<int32_t> acc;
    std::vector<Half> y;
    for (int64_t r = 0; r < p.m; ++r) {
      for (int64_t c = 0; c < p.n; ++c) {
        acc.push_back(p.Acc(r, c));
        y.push_back(
            ToHalf(Dequantize(acc.back(), p.scale_w[static_cast<size_t>(c)],
                              p.scale_x[static_cast<size_t>(r)], p.bias[static_cast<size_t>(c)])));
      }
    }
    EXPECT_EQ(Equal(acc, device.acc.Download()), "");
    EXPECT_EQ(Equal(y, device.y.Download()), "");
  }
}

TEST_F(ProductKernels, ALayerWithoutBiasAddsNoneAndUnwantedAccumulatorsAreNotWritten) {
  Problem p(3, 5, 40);
  OnDevice device(p);
  device.args.bias = nullptr;
  device.args.acc = nullptr;
  LaunchProduct(nullptr, device.args);
  const std::vector<Half> y = device.y.Download();
  EXPECT_EQ(y[0], ToHalf(Dequantize(p.Acc(0, 0), p.scale_w[0], p.scale_x[0], 0.0f)));
}

TEST_F(ProductKernels, ColumnsBesideTheOutputsStayAsTheyWere) {
  Problem p(3, 5, 40);
  OnDevice device(p);
  const DeviceArray<Half> wide(std::vector<Half>(3 * 7, kUnwritten));
  device.args.y = wide.data();
  device.args.y_stride = 7;
  LaunchProduct(nullptr, device.args);
  const std::vector<Half> y = wide.Download();
  for (size_t row = 0; row < 3; ++row) {
    EXPECT_NE(y[row * 7 + 4], kUnwritten);
    EXPECT_EQ(y[row * 7 + 5], kUnwritten);
    EXPECT_EQ(y[row * 7 + 6], kUnwritten);
  }
}

// The second codes' product is added on top of the first's, before the one rounding.
TEST_F(ProductKernels, FirstRowsTakeTheirSecondCodesToo) {
  constexpr int64_t kImages = 3, kRows = 4;
  for (const int64_t k : {1, 40, 588}) {
    Problem p(kImages * kRows, 70, k, kImages);
    const OnDevice device(p);
    LaunchProduct(nullptr, device.args);
    LaunchTwiceProduct(nullptr,
                       {.product = device.args, .images = kImages, .rows_per_image = kRows});
    std::vector<Half> y;
    std::vector<int32_t> acc;
    for (int64_t r = 0; r < p.rows; ++r) {
      for (int64_t c = 0; c < p.n; ++c) {
        acc.push_back(p.Acc(r, c));
        if (r >= p.m) continue;
        const float w = p.scale_w[static_cast<size_t>(c)];
        float value = Dequantize(acc.back(), w, p.scale_x[static_cast<size_t>(r)],
                                 p.bias[static_cast<size_t>(c)]);
        if (r % kRows == 0) {
          const int64_t second = p.m + r / kRows;
          value = Dequantize(p.Acc(second, c), w, p.scale_x[static_cast<size_t>(second)], value);
        }
        y.push_back(ToHalf(value));
      }
    }
    EXPECT_EQ(Equal(acc, device.acc.Download()), "") << k;
    EXPECT_EQ(Equal(y, device.y.Download()), "") << k;
  }
}

// ---- what becomes of an output ----

const Shape kOutputShapes[] = {{1, 1, 1}, {5, 9, 33}, {33, 129, 72}, {130, 208, 64}};

TEST_F(ProductKernels, AResidualOfTheOutputsHasTheBitsOfTheStepBehindThem) {
  for (const Shape& shape : kOutputShapes) {
    for (const bool scaled : {false, true}) {
      Problem p(shape.m, shape.n, shape.k);
      const OnDevice device(p);
      const std::vector<Half> stream = Halves(AnyHalves(p.m * p.n, 3));
      const DeviceArray<Half> apart(stream), fused(stream), of_sums(stream);
      const DeviceArray<float> layer_scale(RandomFloats(p.n, 4));
      LaunchProduct(nullptr, device.args);
      ProductArgs args = device.args;
      args.output = ProductOutput::kResidual;
      args.layer_scale = scaled ? layer_scale.data() : nullptr;
      args.acc = nullptr;
      args.y = fused.data();
      LaunchAdd(nullptr, AddArgs{{apart.data(), p.m, p.n, p.n},
                                 {device.y.data(), p.m, p.n, p.n},
                                 args.layer_scale});
      LaunchProduct(nullptr, args);
      args.y = of_sums.data();
      LaunchDequantize(nullptr, device.acc.data(), args);
      EXPECT_EQ(Equal(apart.Download(), fused.Download()), "") << p.n;
      EXPECT_EQ(Equal(apart.Download(), of_sums.Download()), "") << p.n;
    }
  }
}

TEST_F(ProductKernels, CodesOfActivatedOutputsHaveTheBitsOfTheStepsBehindThem) {
  const ActivationKind kinds[] = {ActivationKind::kGeluErf, ActivationKind::kGeluTanh,
                                  ActivationKind::kQuickGelu, ActivationKind::kSilu};
  for (const Shape& shape : kOutputShapes) {
    for (const ActivationKind kind : kinds) {
      Problem p(shape.m, shape.n, shape.k);
      const OnDevice device(p);
      const int64_t stride = (p.n + kCodesAlignment - 1) / kCodesAlignment * kCodesAlignment;
      const auto count = static_cast<size_t>(p.m * stride);
      const DeviceArray<int8_t> apart(count), fused(count), of_sums(count);
      const DeviceArray<float> scale(static_cast<size_t>(p.m));
      LaunchProduct(nullptr, device.args);
      LaunchActivation(nullptr, {.kind = kind,
                                 .x = {device.y.data(), p.m, p.n, p.n},
                                 .y = {device.y.data(), p.m, p.n, p.n},
                                 .codes = {.static_scale = 0.7f,
                                           .codes = apart.data(),
                                           .stride = stride,
                                           .scale = scale.data()}});
      ProductArgs args = device.args;
      args.output = ProductOutput::kCodes;
      args.activation = kind;
      args.codes_scale = 0.7f;
      args.codes = fused.data();
      args.codes_stride = stride;
      args.acc = nullptr;
      args.y = nullptr;
      LaunchProduct(nullptr, args);
      args.codes = of_sums.data();
      LaunchDequantize(nullptr, device.acc.data(), args);
      EXPECT_EQ(Equal(apart.Download(), fused.Download()), "") << p.n;
      EXPECT_EQ(Equal(apart.Download(), of_sums.Download()), "") << p.n;
    }
  }
}

// ---- groups and zero points ----

struct Grouped {
  int64_t group;
  GroupScales scales;
  bool zero_x, zero_w;
};

int64_t GroupsOf(int64_t k, int64_t group) { return (k + group - 1) / group; }

template <class T, class Draw>
std::vector<T> Drawn(int64_t count, const Draw& draw) {
  std::vector<T> values;
  for (int64_t i = 0; i < count; ++i) values.push_back(static_cast<T>(draw()));
  return values;
}

TEST_F(ProductKernels, GroupsAndZeroPointsFollowTheirFormulas) {
  const Grouped cases[] = {{7, GroupScales::kWeights, false, true},
                           {32, GroupScales::kInputs, false, false},
                           {16, GroupScales::kBoth, false, true},
                           {100, GroupScales::kWeights, true, false},
                           {100, GroupScales::kWeights, true, true}};
  for (const Grouped& grouped : cases) {
    SCOPED_TRACE(grouped.group);
    Problem p(19, 18, 100);
    const int64_t groups = GroupsOf(p.k, grouped.group);
    std::mt19937 random(5);
    const auto scale = [&] { return std::uniform_real_distribution<float>(0.001f, 0.1f)(random); };
    const auto point = [&] { return std::uniform_int_distribution<int>(-128, 127)(random); };
    const bool w_groups = grouped.scales != GroupScales::kInputs && groups > 1;
    const bool x_groups = grouped.scales != GroupScales::kWeights;
    p.scale_w = Drawn<float>((w_groups ? groups : 1) * p.n, scale);
    p.scale_x = Drawn<float>(p.m * (x_groups ? groups : 1), scale);
    const auto zero_x = Drawn<int32_t>(p.m, point);
    const auto zero_w = Drawn<int32_t>(groups * p.n, point);
    const OnDevice device(p);
    const DeviceArray<int32_t> acc_out(static_cast<size_t>(groups * p.m * p.n));
    const DeviceArray<int32_t> device_zero_x(zero_x), device_zero_w(zero_w);
    GroupedProductArgs args{.product = device.args,
                            .group = grouped.group,
                            .scales = grouped.scales,
                            .scale_groups_w = w_groups ? groups : 1,
                            .zero_point_x = grouped.zero_x ? device_zero_x.data() : nullptr,
                            .zero_point_w = grouped.zero_w ? device_zero_w.data() : nullptr,
                            .acc_rows = p.m};
    args.product.acc = acc_out.data();
    LaunchGroupedProduct(nullptr, args);

    std::vector<int32_t> all_acc(acc_out.size());
    std::vector<Half> y;
    for (int64_t r = 0; r < p.m; ++r) {
      for (int64_t c = 0; c < p.n; ++c) {
        float t = 0.0f;
        for (int64_t g = 0; g < groups; ++g) {
          int32_t acc = 0;
          for (int64_t i = g * grouped.group; i < std::min(p.k, (g + 1) * grouped.group); ++i) {
            acc += (p.X(r, i) - (grouped.zero_x ? zero_x[static_cast<size_t>(r)] : 0)) *
                   (p.W(c, i) - (grouped.zero_w ? zero_w[static_cast<size_t>(g * p.n + c)] : 0));
          }
          all_acc[static_cast<size_t>((g * p.m + r) * p.n + c)] = acc;
          const auto value = static_cast<float>(acc);
          const float w = p.scale_w[static_cast<size_t>((w_groups ? g : 0) * p.n + c)];
          const float x = p.scale_x[static_cast<size_t>(x_groups ? r * groups + g : r)];
          if (grouped.scales == GroupScales::kWeights) t = Fma(value, w, t);
          if (grouped.scales == GroupScales::kInputs) t = Fma(value, x, t);
          if (grouped.scales == GroupScales::kBoth) t = Fma(value * x, w, t);
        }
        const float bias = p.bias[static_cast<size_t>(c)];
        float value = t + bias;
        if (grouped.scales == GroupScales::kWeights) {
          value = Fma(t, p.scale_x[static_cast<size_t>(r)], bias);
        }
        if (grouped.scales == GroupScales::kInputs) {
          value = Fma(t, p.scale_w[static_cast<size_t>(c)], bias);
        }
        y.push_back(ToHalf(value));
      }
    }
    EXPECT_EQ(Equal(all_acc, acc_out.Download()), "");
    EXPECT_EQ(Equal(y, device.y.Download()), "");
  }
}

TEST_F(ProductKernels, WeightOnlyProductsSumInAscendingOrder) {
  for (const int64_t group : {int64_t{24}, int64_t{100}}) {
    Problem p(17, 19, 100);
    const int64_t groups = GroupsOf(p.k, group);
    std::mt19937 random(6);
    const auto scale = [&] { return std::uniform_real_distribution<float>(0.001f, 0.1f)(random); };
    std::normal_distribution<float> value(0.0f, 3.0f);
    std::vector<Half> x;
    for (int64_t i = 0; i < p.m * p.k; ++i) x.push_back(ToHalf(value(random)));
    p.scale_w = Drawn<float>(groups * p.n, scale);
    const auto zero_w =
        Drawn<int32_t>(groups * p.n, [&] { return static_cast<int>(random() % 16); });
    const OnDevice device(p);
    const DeviceArray<Half> device_x(x);
    const DeviceArray<int32_t> device_zero_w(zero_w);
    LaunchWeightOnlyProduct(nullptr, {.m = p.m,
                                      .n = p.n,
                                      .k = p.k,
                                      .x = device_x.data(),
                                      .x_stride = p.k,
                                      .weight = device.weight.data(),
                                      .weight_stride = p.stride,
                                      .group = group,
                                      .scale_groups_w = groups,
                                      .scale_w = device.scale_w.data(),
                                      .zero_point_w = device_zero_w.data(),
                                      .bias = device.bias.data(),
                                      .y = device.y.data(),
                                      .y_stride = p.n});
    std::vector<Half> y;
    for (int64_t r = 0; r < p.m; ++r) {
      for (int64_t c = 0; c < p.n; ++c) {
        float t = 0.0f;
        for (int64_t g = 0; g < groups; ++g) {
          const auto at = static_cast<size_t>(g * p.n + c);
          float acc = 0.0f;
          for (int64_t i = g * group; i < std::min(p.k, (g + 1) * group); ++i) {
            acc = Fma(ToFloat(x[static_cast<size_t>(r * p.k + i)]),
                      static_cast<float>(p.W(c, i) - zero_w[at]), acc);
          }
          t = Fma(acc, p.scale_w[at], t);
        }
        y.push_back(ToHalf(t + p.bias[static_cast<size_t>(c)]));
      }
    }
    EXPECT_EQ(Equal(y, device.y.Download()), "");
  }
}

}  // namespace
}  // namespace w8a8::test
