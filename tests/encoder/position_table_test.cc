#include "runtime/encoder/position_table.h"

#include <numeric>

#include <gtest/gtest.h>

namespace w8a8::test {
namespace {

// A stored grid of 4 x 3 and images of 2 x 5 patches, width 2.
EncoderConfig Resized(PositionResize kind) {
  EncoderConfig config;
  config.width = 2;
  config.patch = 1;
  config.image_height = 2;
  config.image_width = 5;
  config.position_rows = 4;
  config.position_cols = 3;
  config.position_resize = kind;
  return config;
}

std::vector<float> Counting(size_t count) {
  std::vector<float> values(count);
  std::iota(values.begin(), values.end(), 1.0f);
  return values;
}

TEST(PositionTable, TheStoredGridIsCopied) {
  EncoderConfig config = Resized(PositionResize::kBicubic);
  config.image_height = 4;
  config.image_width = 3;
  EXPECT_EQ(PositionRows(config, Counting(24)), Counting(24));
}

TEST(PositionTable, RegistersGetZerosBetweenTheOtherPrefixTokensAndThePatches) {
  EncoderConfig config = Resized(PositionResize::kBicubic);
  config.image_height = 4;
  config.image_width = 3;
  config.prefix_tokens = 4;
  config.registers = 3;
  const std::vector<float> stored = Counting(26);
  std::vector<float> expected(stored.begin(), stored.begin() + 2);
  expected.resize(8, 0.0f);
  expected.insert(expected.end(), stored.begin() + 2, stored.end());
  EXPECT_EQ(PositionRows(config, stored), expected);
}

// torch 2.15, interpolate(arange(4), size=2, mode="bicubic"): without antialias the taps of the
// first output, at 0.5, are (-0.09375, 0.59375, 0.59375, -0.09375), of which the first lies beyond
// the border. With antialias (a = -0.5) the filter is twice as wide.
TEST(PositionTable, TapsAreThoseOfKeysCubicWithTorchsTwoConstants) {
  const ResizeAxis plain = MakeResizeAxis(4, 2, PositionResize::kBicubic);
  EXPECT_EQ(plain.first, (std::vector<int64_t>{0, 1}));
  EXPECT_EQ(plain.weight[0], (std::vector<double>{0.5, 0.59375, -0.09375}));
  EXPECT_EQ(plain.weight[1], (std::vector<double>{-0.09375, 0.59375, 0.5}));
  const ResizeAxis antialiased = MakeResizeAxis(4, 2, PositionResize::kBicubicAntialias);
  ASSERT_EQ(antialiased.weight[0].size(), 4u);
  const std::vector<double> raw = {0.8671875, 0.8671875, 0.2265625, -0.0703125};
  const double sum = raw[0] + raw[1] + raw[2] + raw[3];
  for (size_t i = 0; i < raw.size(); ++i) {
    EXPECT_DOUBLE_EQ(antialiased.weight[0][i], raw[i] / sum) << "tap " << i;
  }
}

// torch 2.15, mode="bilinear", antialias=True: a triangle over two inputs on either side.
TEST(PositionTable, BilinearTapsAreATriangleAsWideAsAnOutput) {
  const ResizeAxis down = MakeResizeAxis(4, 2, PositionResize::kBilinearAntialias);
  EXPECT_EQ(down.first, (std::vector<int64_t>{0, 1}));
  ASSERT_EQ(down.weight[0].size(), 3u);
  EXPECT_DOUBLE_EQ(down.weight[0][0], 3.0 / 7);
  EXPECT_DOUBLE_EQ(down.weight[0][1], 3.0 / 7);
  EXPECT_DOUBLE_EQ(down.weight[0][2], 1.0 / 7);
  // Upwards there is nothing to smooth: the two nearest inputs.
  const ResizeAxis up = MakeResizeAxis(2, 4, PositionResize::kBilinearAntialias);
  EXPECT_EQ(up.weight[1], (std::vector<double>{0.75, 0.25}));
}

TEST(PositionTable, AConstantTableStaysConstant) {
  for (const PositionResize kind : {PositionResize::kBicubic, PositionResize::kBicubicAntialias,
                                    PositionResize::kBilinearAntialias}) {
    for (const float value : PositionRows(Resized(kind), std::vector<float>(24, 3.0f))) {
      EXPECT_FLOAT_EQ(value, 3.0f);
    }
  }
}

}  // namespace
}  // namespace w8a8::test
