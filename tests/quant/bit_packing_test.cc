// The golden words were computed with compressed-tensors 0.18 (dense) and 0.17 (element-aligned).
#include "quant/bit_packing.h"

#include <algorithm>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/errors.h"

namespace w8a8 {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

constexpr PackedLayout kDense = PackedLayout::kDense, kAligned = PackedLayout::kAligned;
constexpr std::array kBothLayouts = {kDense, kAligned};

MatView<const int8_t> OneRow(const std::vector<int8_t>& codes) {
  const auto cols = static_cast<int64_t>(codes.size());
  return {codes.data(), 1, cols, cols};
}

MatView<const int32_t> OneRow(const std::vector<int32_t>& words) {
  const auto cols = static_cast<int64_t>(words.size());
  return {words.data(), 1, cols, cols};
}

struct Golden {
  int bits;
  std::vector<PackedLayout> layouts;
  std::vector<int8_t> codes;
  std::vector<int32_t> words;
};

const std::vector<PackedLayout> kBoth = {kDense, kAligned};
const std::vector<int8_t> kTwelve = {-4, -3, -2, -1, 0, 1, 2, 3, -4, -3, 3, 1};
const std::vector<int8_t> kSeven = {-32, 31, 0, -1, 5, -17, 7};
const std::vector<Golden> kGolden = {
    {4, kBoth, {1, 2, 3, 4, 5, 6, 7, 0}, {-1880241239}},
    {4, kBoth, {-1, -2, -3, -4, -5, -6, -7, -8}, {19088743}},
    {4, kBoth, {1, 2, 3}, {2985}},
    {4, kBoth, {-8, -7, -6, -5, -4, -3, -2, -1, 0, 7}, {1985229328, 248}},
    {8, kBoth, {1, 2}, {33409}},
    {8, kBoth, {-128, -1, 0, 127}, {-8356096}},
    {8, kBoth, {1, 2, 3, 4, -5}, {-2071756159, 123}},
    {2, kBoth, {-2, -1, 0, 1, -2, -1, 0, 1, -2, -1, 0, 1, -2, -1, 0, 1}, {-454761244}},
    {2, kBoth, {1, 0, -1, -2, 1}, {795}},
    {3, {kDense}, kTwelve, {-923089272, 11}},
    {3, {kAligned}, kTwelve, {150652552, 47}},
    {6, {kDense}, kSeven, {-444723264, 627}},
    {6, {kAligned}, kSeven, {0x257E0FC0, 0x9CF}},
};

TEST(BitPacking, GivesTheGoldenWordsAndTheCodesBack) {
  for (const Golden& golden : kGolden) {
    for (const PackedLayout layout : golden.layouts) {
      EXPECT_THAT(PackRows(OneRow(golden.codes), golden.bits, layout),
                  ElementsAreArray(golden.words))
          << golden.bits << " bits";
      const auto cols = static_cast<int64_t>(golden.codes.size());
      EXPECT_THAT(UnpackRows("w", OneRow(golden.words), cols, golden.bits, layout),
                  ElementsAreArray(golden.codes))
          << golden.bits << " bits";
    }
  }
}

TEST(BitPacking, ZeroPointsArePackedAlongTheOutputs) {
  const std::vector<int8_t> zero_points = {0, 1, -1, 7, -8, 2, 3, -2};
  const MatView<const int8_t> column{zero_points.data(), 8, 1, 1};
  EXPECT_THAT(PackColumns(column, 4), ElementsAre(1805711256));
  const int32_t word = 1805711256;
  EXPECT_THAT(UnpackColumns("zp", {&word, 1, 1, 1}, 8, 4, kDense), ElementsAreArray(zero_points));
}

TEST(BitPacking, UnpackingUndoesPackingAtEveryWidthAndLength) {
  std::mt19937 random(3);
  for (int bits = 1; bits <= 8; ++bits) {
    for (const int64_t cols : {1, 2, 5, 10, 31, 32, 33, 64, 65, 100}) {
      std::vector<int8_t> codes(static_cast<size_t>(3 * cols));
      for (int8_t& code : codes) {
        code = static_cast<int8_t>(static_cast<int>(random() % (1u << bits)) - (1 << (bits - 1)));
      }
      const MatView<const int8_t> rows{codes.data(), 3, cols, cols};
      const MatView<const int8_t> columns{codes.data(), cols, 3, 3};
      for (const PackedLayout layout : kBothLayouts) {
        const int64_t words = PackedWords(cols, bits, layout);
        const std::vector<int32_t> by_row = PackRows(rows, bits, layout);
        ASSERT_EQ(by_row.size(), static_cast<size_t>(3 * words));
        EXPECT_EQ(UnpackRows("w", {by_row.data(), 3, words, words}, cols, bits, layout), codes)
            << bits << " bits, " << cols;
        const std::vector<int32_t> by_column = PackColumns(columns, bits, layout);
        EXPECT_EQ(UnpackColumns("w", {by_column.data(), words, 3, 3}, cols, bits, layout), codes)
            << bits << " bits, " << cols;
      }
      const bool divides = 32 % bits == 0;
      if (divides) {
        EXPECT_EQ(PackRows(rows, bits, kDense), PackRows(rows, bits, kAligned));
      }
    }
  }
}

TEST(BitPacking, TheWidthTellsTheLayout) {
  EXPECT_EQ(PackedLayoutOf("w", 3, 32, 3), kDense);
  EXPECT_EQ(PackedLayoutOf("w", 4, 32, 3), kAligned);
  EXPECT_EQ(PackedLayoutOf("w", 2, 12, 3), kDense);  // both are 2 words
  EXPECT_EQ(PackedLayoutOf("w", 4, 32, 4), kDense);
  EXPECT_THAT(
      test::ErrorOf([] { PackedLayoutOf("fc1.weight_packed", 5, 32, 3); }),
      HasSubstr("fc1.weight_packed: rows of 5 words; 32 codes of 3 bits take 3 words (or 4"));
}

TEST(BitPacking, RefusesWordsOfAnotherWidthAndNamesTheTensor) {
  const std::vector<int32_t> words = {0, 0, 0};
  const std::string rows =
      test::ErrorOf([&] { UnpackRows("fc1.weight_packed", OneRow(words), 12, 3, kDense); });
  EXPECT_THAT(rows, HasSubstr("fc1.weight_packed: 12 codes of 3 bits take 2 words"));
  const std::string columns = test::ErrorOf([&] {
    UnpackColumns("fc1.weight_zero_point", {words.data(), 3, 1, 1}, 8, 4, kDense);
  });
  EXPECT_THAT(columns, HasSubstr("fc1.weight_zero_point: 8 codes of 4 bits take 1 words"));
}

TEST(BitPacking, RefusesBitsBehindTheLastCode) {
  const auto unpack = [](const std::vector<int32_t>& words, int64_t cols, int bits,
                         PackedLayout layout) {
    return test::ErrorOf(
        [&] { UnpackRows("fc1.weight_packed", OneRow(words), cols, bits, layout); });
  };
  // Twelve codes of 3 bits in the old layout, as wide as dense: the last bits are beyond 36.
  const std::string old_layout = unpack({150652552, 47}, 12, 3, kDense);
  EXPECT_THAT(old_layout, HasSubstr("fc1.weight_packed: word 1 is 0000002F"));
  EXPECT_THAT(old_layout, HasSubstr("may be the old one"));
  // In the old layout the two bits above the tenth code of a word hold nothing.
  EXPECT_THAT(unpack({1 << 30, 0}, 20, 3, kAligned), HasSubstr("word 0 is 40000000"));
  const std::string ragged = unpack({0x1985}, 3, 4, kDense);
  EXPECT_THAT(ragged, HasSubstr("word 0 is 00001985"));
  EXPECT_THAT(ragged, Not(HasSubstr("layout")));
}

}  // namespace
}  // namespace w8a8
