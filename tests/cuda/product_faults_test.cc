// Faults planted in the products are found: a barrier that is missing, a size that is off by one,
// scales that are swapped.
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/cuda/epilogue_kernels.h"
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

// FP16 operands of the same shape; `change` is what is wrong with the product.
std::vector<Half> HalfProduct(const std::function<void(FloatProductArgs*)>& change) {
  const Operands operands;
  const auto halves = [](int64_t rows) {
    std::vector<Half> values;
    for (const int8_t code : Codes(rows)) values.push_back(ToHalf(static_cast<float>(code)));
    return values;
  };
  const DeviceArray<Half> x(halves(kM)), weight(halves(kN));
  FloatProductArgs args = operands.Float();
  args.x = x.data();
  args.weight = weight.data();
  change(&args);
  LaunchFloatProduct(nullptr, args);
  return operands.y.Download();
}

TEST(ProductFaults, OfTheFp16TensorCoreProductAreFound) {
  ExpectEveryBarrierIsNeeded([] { return HalfProduct([](FloatProductArgs*) {}); });
  const auto error_of = [](int64_t m, int64_t n) {
    return ErrorOf([&] {
      HalfProduct([&](FloatProductArgs* args) {
        args->m = m;
        args->n = n;
      });
    });
  };
  EXPECT_EQ(error_of(kM, kN), "no error was thrown");
  EXPECT_TRUE(Contains(error_of(kM + 1, kN), "outside"));
  EXPECT_TRUE(Contains(error_of(kM, kN + 1), "outside"));
  EXPECT_TRUE(Contains(error_of(kM - 1, kN), "nobody wrote"));
  EXPECT_TRUE(Contains(error_of(kM, kN - 1), "nobody wrote"));
  const auto without_bias = [](FloatProductArgs* args) { args->bias = nullptr; };
  EXPECT_NE(HalfProduct([](FloatProductArgs*) {}), HalfProduct(without_bias));
}

// Rows 0 and 2 begin images; 4 and 5 are their second codes.
std::vector<Half> TwiceCoded(const std::function<void(TwiceProductArgs*)>& change) {
  constexpr int64_t kImages = 2, kRowsOfImage = 2, kRows = kImages * kRowsOfImage;
  const Operands operands;
  const DeviceArray<int8_t> x(Codes(kRows + kImages));
  const DeviceArray<float> scale_x(Scales(kN, 0.01f));  // may be swapped with those of columns
  const DeviceArray<Half> y(kRows * kN);
  TwiceProductArgs args{
      .product = operands.args(), .images = kImages, .rows_per_image = kRowsOfImage};
  args.product.m = kRows;
  args.product.x = x.data();
  args.product.scale_x = scale_x.data();
  args.product.y = y.data();
  LaunchProduct(nullptr, args.product);
  change(&args);
  LaunchTwiceProduct(nullptr, args);
  return y.Download();
}

TEST(ProductFaults, OfRowsThatAreCodedTwiceAreFound) {
  const std::vector<Half> right = TwiceCoded([](TwiceProductArgs*) {});
  EXPECT_TRUE(Contains(ErrorOf([] { TwiceCoded([](TwiceProductArgs* args) { ++args->images; }); }),
                       "outside"));
  EXPECT_NE(right, TwiceCoded([](TwiceProductArgs* args) { --args->images; }));
  EXPECT_NE(right, TwiceCoded([](TwiceProductArgs* args) { --args->rows_per_image; }));
  EXPECT_NE(right, TwiceCoded([](TwiceProductArgs* args) { --args->product.m; }));
  EXPECT_NE(right, TwiceCoded([](TwiceProductArgs* args) { args->product.bias = nullptr; }));
  EXPECT_NE(right, TwiceCoded([](TwiceProductArgs* args) {
              std::swap(args->product.scale_x, args->product.scale_w);
            }));
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

// ---- what becomes of an output as it is stored ----

constexpr int64_t kCodesStride = 16;

// A stream with values of its own, and room for codes; what a product leaves in them.
struct Behind {
  std::vector<std::byte> Run(ProductArgs args, ProductOutput output) {
    args.output = output;
    if (output == ProductOutput::kResidual) {
      args.y = stream.data();
      args.layer_scale = layer_scale.data();
    } else {
      args.scale_x = small.data();  // outputs where functions differ
      args.activation = ActivationKind::kGeluTanh;
      args.codes_scale = 0.02f;
      args.codes = codes.data();
      args.codes_stride = kCodesStride;
    }
    change(&args);
    LaunchProduct(nullptr, args);
    return output == ProductOutput::kResidual ? BytesOf(stream.Download())
                                              : BytesOf(codes.Download());
  }
  template <class T>
  static std::vector<std::byte> BytesOf(const std::vector<T>& values) {
    const auto bytes = std::as_bytes(std::span(values));
    return {bytes.begin(), bytes.end()};
  }
  DeviceArray<Half> stream{std::vector<Half>(kM * kN, Half{0x3c00})};
  DeviceArray<int8_t> codes{static_cast<size_t>(kM * kCodesStride)};
  DeviceArray<float> layer_scale{Scales(kN, 0.5f)};
  DeviceArray<float> small{std::vector<float>(kM, 1e-5f)};
  std::function<void(ProductArgs*)> change = [](ProductArgs*) {};
};

std::vector<std::byte> AsStored(ProductOutput output,
                                const std::function<void(ProductArgs*)>& change) {
  const Operands operands;
  Behind behind;
  behind.change = change;
  return behind.Run(operands.args(), output);
}

class ProductOutputFaults : public testing::TestWithParam<ProductOutput> {
 protected:
  static std::vector<std::byte> Right() {
    return AsStored(GetParam(), [](ProductArgs*) {});
  }
  static std::string ErrorWith(const std::function<void(ProductArgs*)>& change) {
    return ErrorOf([&] { AsStored(GetParam(), change); });
  }
};

TEST_P(ProductOutputFaults, EveryBarrierIsNeeded) {
  ExpectEveryBarrierIsNeeded([] { return Right(); });
}

TEST_P(ProductOutputFaults, ASizeThatIsOffByOneIsFound) {
  EXPECT_TRUE(Contains(ErrorWith([](ProductArgs* args) { ++args->m; }), "outside"));
  const bool codes = GetParam() == ProductOutput::kCodes;
  const auto fewer_rows = [](ProductArgs* args) { --args->m; };
  const auto more_columns = [](ProductArgs* args) { ++args->n; };
  const auto fewer_columns = [](ProductArgs* args) { --args->n; };
  EXPECT_TRUE(Contains(ErrorWith(more_columns), "outside"));
  if (codes) {  // columns that are missing are zeros, which others do not have
    EXPECT_TRUE(Contains(ErrorWith(fewer_rows), "nobody wrote"));
    const auto narrower = [](ProductArgs* args) { args->codes_stride -= 1; };
    EXPECT_TRUE(Contains(ErrorWith(narrower), "nobody wrote"));
  } else {
    EXPECT_NE(AsStored(GetParam(), fewer_rows), Right());
  }
  EXPECT_NE(AsStored(GetParam(), fewer_columns), Right());
}

TEST_P(ProductOutputFaults, WrongOperandsChangeTheResult) {
  const auto vectors = [](ProductArgs* args) { std::swap(args->bias, args->scale_w); };
  const auto no_bias = [](ProductArgs* args) { args->bias = nullptr; };
  EXPECT_NE(AsStored(GetParam(), vectors), Right());
  EXPECT_NE(AsStored(GetParam(), no_bias), Right());
  if (GetParam() == ProductOutput::kCodes) {
    const auto scale = [](ProductArgs* args) { args->codes_scale *= 2; };
    const auto function = [](ProductArgs* args) { args->activation = ActivationKind::kSilu; };
    EXPECT_NE(AsStored(GetParam(), scale), Right());
    EXPECT_NE(AsStored(GetParam(), function), Right());
  } else {
    const auto no_scale = [](ProductArgs* args) { args->layer_scale = nullptr; };
    const auto swapped = [](ProductArgs* args) { std::swap(args->layer_scale, args->bias); };
    EXPECT_NE(AsStored(GetParam(), no_scale), Right());
    EXPECT_NE(AsStored(GetParam(), swapped), Right());
  }
}

INSTANTIATE_TEST_SUITE_P(EveryKind, ProductOutputFaults,
                         testing::Values(ProductOutput::kResidual, ProductOutput::kCodes));

// The same behind a library's product.
TEST(ProductFaults, SizesOfAPassOverSumsThatAreOffByOneAreFound) {
  const DeviceArray<int32_t> sums(std::vector<int32_t>(kM * kN, 1000));
  for (const auto output : {ProductOutput::kResidual, ProductOutput::kCodes}) {
    const auto error_of = [&](int64_t m, int64_t n, int64_t stride) {
      return ErrorOf([&] {
        const Operands operands;
        const Behind behind;
        ProductArgs args = operands.args();
        args.m = m;
        args.n = n;
        args.output = output;
        args.y = behind.stream.data();
        args.layer_scale = behind.layer_scale.data();
        args.codes_scale = 0.5f;
        args.codes = behind.codes.data();
        args.codes_stride = stride;
        LaunchDequantize(nullptr, sums.data(), args);
        if (output == ProductOutput::kCodes) behind.codes.Download();
      });
    };
    EXPECT_EQ(error_of(kM, kN, kCodesStride), "no error was thrown");
    EXPECT_TRUE(Contains(error_of(kM + 1, kN, kCodesStride), "outside"));
    EXPECT_TRUE(Contains(error_of(kM, kN + 1, kCodesStride), "outside"));
    if (output != ProductOutput::kCodes) continue;
    EXPECT_TRUE(Contains(error_of(kM - 1, kN, kCodesStride), "nobody wrote"));
    EXPECT_TRUE(Contains(error_of(kM, kN, kCodesStride - 1), "nobody wrote"));
  }
}

}  // namespace
}  // namespace w8a8::test
