// Attention on the device: the float kinds against binary64, the INT8 kind against the CPU's bits.
#include "runtime/cuda/attention_kernels.h"

#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/cpu/attention.h"
#include "runtime/cpu/scalar_attention.h"
#include "tests/cuda/attention_on_device.h"
#include "tests/cuda/device_test.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

using Case = AttentionCase;
using Operands = AttentionOperands;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Head dimensions of the families and odd ones; one query, one key; several tiles of each.
const std::vector<Case> kCases = {
    {50, 50, 2, 64, 1.0f}, {1, 96, 3, 64, 2.0f},  {30, 30, 2, 72, 8.0f}, {33, 33, 1, 80, 1.0f},
    {13, 47, 2, 88, 1.0f}, {7, 64, 1, 96, 1.0f},  {9, 31, 1, 128, 1.0f}, {16, 33, 1, 8, 1.0f},
    {3, 17, 2, 7, 1.0f},   {1, 1, 1, 4, 1.0f},    {5, 100, 1, 65, 1.0f}, {2, 729, 1, 72, 1.0f},
    {65, 40, 1, 33, 1.0f}, {32, 32, 1, 16, 0.0f}, {1, 5, 1, 1, 1.0f},    {130, 20, 1, 72, 1.0f},
    {3, 1025, 1, 64, 1.0f}};

// What the CPU's kernel gives, image by image.
AttentionResult OnCpu(const AttentionKernel& kernel, const Case& c,
                      const std::vector<Operands>& images,
                      const std::vector<uint8_t>& key_mask = {}) {
  const int64_t width = c.heads * c.head_dim;
  AttentionResult all;
  AttentionScratch scratch;
  for (size_t image = 0; image < images.size(); ++image) {
    std::vector<Half> out(static_cast<size_t>(c.queries * width));
    std::vector<float> p(static_cast<size_t>(c.heads * c.queries * c.keys));
    std::span<const uint8_t> mask = key_mask;
    const auto keys = static_cast<size_t>(c.keys);
    if (!mask.empty()) mask = mask.subspan(image * keys, keys);
    RunAttention(kernel,
                 {.q = {images[image].q.data(), c.queries, width, width},
                  .k = {images[image].k.data(), c.keys, width, width},
                  .v = {images[image].v.data(), c.keys, width, width},
                  .out = {out.data(), c.queries, width, width},
                  .heads = c.heads,
                  .head_dim = c.head_dim,
                  .key_mask = mask,
                  .probabilities = {p.data(), c.heads * c.queries, c.keys, c.keys}},
                 &scratch);
    all.out.insert(all.out.end(), out.begin(), out.end());
    all.probabilities.insert(all.probabilities.end(), p.begin(), p.end());
  }
  return all;
}

class AttentionKernels : public DeviceTest {};

TEST_F(AttentionKernels, OfFp16OperandsIsAtMostTwiceAsWrongAsThePlainLoop) {
  for (const Case& c : kCases) {
    const std::vector<Operands> images = {RandomOperands(c)};
    const std::vector<Half> out = AttentionOnDevice(c, images, {}).out;
    EXPECT_EQ(
        TwiceNaive(PlainAttention<double>(c, images[0]), NaiveAttention(c, images[0]), Floats(out)),
        "")
        << Text(c);
    if (c.keys > 700) continue;
    // Rows that may be read by sixteen bytes.
    EXPECT_EQ(Equal(out, AttentionOnDevice(c, images, {.others = 8}).out), "") << Text(c);
  }
}

// The CPU's scalar kernel is the plain loop with BF16 operands.
TEST_F(AttentionKernels, OfBf16OperandsIsAtMostTwiceAsWrongAsThePlainLoopWithThem) {
  for (const Case& c : kCases) {
    const std::vector<Operands> images = {RandomOperands(c)};
    EXPECT_EQ(
        TwiceNaive(
            PlainAttention<double>(c, images[0]),
            Floats(OnCpu(kScalarBf16Attention, c, images).out),
            Floats(AttentionOnDevice(c, images, {.precision = AttentionPrecision::kBf16}).out)),
        "")
        << Text(c);
  }
}

// Otherwise the test above could compare FP16 operands with themselves.
TEST_F(AttentionKernels, RoundsItsOperandsToBf16) {
  const Case c{20, 40, 2, 16, 4.0f};
  const std::vector<Operands> images = {RandomOperands(c)};
  EXPECT_NE(TwiceNaive(
                PlainAttention<double>(c, images[0]), NaiveAttention(c, images[0]),
                Floats(AttentionOnDevice(c, images, {.precision = AttentionPrecision::kBf16}).out)),
            "");
}

TEST_F(AttentionKernels, IsFarFromAnswersWithAWrongScale) {
  const Case c{20, 40, 2, 16, 4.0f};
  std::vector<Operands> images = {RandomOperands(c)};
  const std::vector<double> exact = PlainAttention<double>(c, images[0]);
  const std::vector<float> naive = NaiveAttention(c, images[0]);
  for (Half& value : images[0].q) value = ToHalf(ToFloat(value) * 1.01f);
  EXPECT_NE(TwiceNaive(exact, naive, Floats(AttentionOnDevice(c, images, {}).out)), "");
}

std::vector<uint8_t> MaskOf(const Case& c, size_t images) {
  std::vector<uint8_t> mask(images * static_cast<size_t>(c.keys), 1);
  for (size_t key = 2; key < mask.size(); key += 5) mask[key] = 0;
  return mask;
}

TEST_F(AttentionKernels, WithInt8ProductsHasTheCpusBits) {
  for (const Case& c : kCases) {
    std::vector<Operands> images = {RandomOperands(c)};
    if (c.queries * c.keys < 2000) images.push_back(RandomOperands(c, /*seed=*/10));
    images[0].k[0] = ToHalf(kInfinity);
    images[0].v.back() = ToHalf(kNan);
    images.back().q[0] = ToHalf(kNan);
    images.back().v[0] = ToHalf(-kInfinity);
    for (const std::vector<uint8_t>& mask : {std::vector<uint8_t>(), MaskOf(c, images.size())}) {
      const AttentionResult expected = OnCpu(kScalarInt8Attention, c, images, mask);
      const AttentionResult actual = AttentionOnDevice(
          c, images,
          {.precision = AttentionPrecision::kInt8, .key_mask = mask, .probabilities = true});
      EXPECT_EQ(Equal(expected.out, actual.out), "") << Text(c);
      EXPECT_EQ(Equal(expected.probabilities, actual.probabilities), "") << Text(c);
    }
  }
}

TEST_F(AttentionKernels, GivesAnImageTheSameBitsInAnyBatchAndSlot) {
  const Case c{34, 34, 2, 24, 2.0f};
  const std::vector<Operands> images = {RandomOperands(c, 1), RandomOperands(c, 5),
                                        RandomOperands(c, 9)};
  for (const auto precision :
       {AttentionPrecision::kFp32, AttentionPrecision::kBf16, AttentionPrecision::kInt8}) {
    const std::vector<Half> all = AttentionOnDevice(c, images, {.precision = precision}).out;
    const size_t size = all.size() / images.size();
    for (size_t image = 0; image < images.size(); ++image) {
      EXPECT_EQ(
          Equal(std::span<const Half>(all).subspan(image * size, size),
                AttentionOnDevice(c, {images[image]}, {.precision = precision, .others = 8}).out),
          "");
    }
  }
}

TEST_F(AttentionKernels, GivesAQueryTheSameBitsInAnyCompany) {
  const Case c{39, 45, 1, 40, 1.0f};
  const Case one{1, 45, 1, 40, 1.0f};
  const Operands operands = RandomOperands(c);
  const std::vector<Half> all = AttentionOnDevice(c, {operands}, {}).out;
  for (const int64_t query : {0, 3, 31, 32, 38}) {
    Operands alone = operands;
    alone.q.assign(operands.q.begin() + query * 40, operands.q.begin() + (query + 1) * 40);
    EXPECT_EQ(Equal(std::span<const Half>(all).subspan(static_cast<size_t>(query) * 40, 40),
                    AttentionOnDevice(one, {alone}, {}).out),
              "");
  }
}

// With the unit matrix for values the outputs are the probabilities.
TEST_F(AttentionKernels, WritesTheProbabilitiesOfItsFloatKinds) {
  const Case c{35, 40, 1, 40, 3.0f};
  Operands operands = RandomOperands(c);
  for (size_t i = 0; i < operands.v.size(); ++i) {
    operands.v[i] = ToHalf(i % 41 == 0 ? 1.0f : 0.0f);
  }
  const std::vector<double> exact = PlainAttention<double>(c, operands);
  EXPECT_EQ(TwiceNaive(exact, PlainAttention<float>(c, operands),
                       AttentionOnDevice(c, {operands}, {.probabilities = true}).probabilities),
            "");
  EXPECT_EQ(
      TwiceNaive(exact, OnCpu(kScalarBf16Attention, c, {operands}).probabilities,
                 AttentionOnDevice(c, {operands},
                                   {.precision = AttentionPrecision::kBf16, .probabilities = true})
                     .probabilities),
      "");
}

TEST_F(AttentionKernels, SurvivesScoresThatWouldOverflowWithoutTheMaximum) {
  const Case c{4, 70, 1, 64, 300.0f};  // scores of some 10^5
  for (const auto precision : {AttentionPrecision::kFp32, AttentionPrecision::kBf16}) {
    for (const float value :
         Floats(AttentionOnDevice(c, {RandomOperands(c)}, {.precision = precision}).out)) {
      EXPECT_TRUE(std::isfinite(value));
    }
  }
}

TEST_F(AttentionKernels, PassesANanOnToItsQueryOnly) {
  const Case c{3, 40, 1, 8, 1.0f};
  Operands operands = RandomOperands(c);
  operands.q[8] = ToHalf(kNan);  // query 1
  for (const auto precision : {AttentionPrecision::kFp32, AttentionPrecision::kBf16}) {
    const std::vector<Half> out = AttentionOnDevice(c, {operands}, {.precision = precision}).out;
    for (size_t i = 0; i < out.size(); ++i) EXPECT_EQ(IsNan(out[i]), i / 8 == 1) << i;
  }
}

// Scores of -infinity have no weight beside finite ones, as on the CPU; a whole tile of them comes
// before anything else is known.
TEST_F(AttentionKernels, TakesNothingFromKeysWithoutWeight) {
  const Case c{4, 70, 1, 8, 1.0f};
  Operands operands = RandomOperands(c);
  for (Half& value : operands.q) value = ToHalf(1.0f);
  for (size_t key = 0; key < 40; ++key) operands.k[key * 8] = ToHalf(-kInfinity);
  const AttentionResult expected = OnCpu(kScalarFp32Attention, c, {operands});
  const AttentionResult actual = AttentionOnDevice(c, {operands}, {.probabilities = true});
  for (size_t i = 0; i < 40; ++i) EXPECT_EQ(actual.probabilities[i], 0.0f);
  for (size_t i = 0; i < expected.out.size(); ++i) {
    EXPECT_TRUE(std::isfinite(ToFloat(expected.out[i])));
    EXPECT_TRUE(std::isfinite(ToFloat(actual.out[i])));
  }
}

// Padding may hold anything, and lies anywhere.
TEST_F(AttentionKernels, TakesNothingFromKeysThatNobodyAttendsTo) {
  const Case c{14, 37, 2, 24, 1.0f}, fewer{14, 30, 2, 24, 1.0f};
  const Operands operands = RandomOperands(fewer);
  Operands padded = operands;
  padded.k.resize(static_cast<size_t>(37 * 48), ToHalf(kNan));
  padded.v.resize(static_cast<size_t>(37 * 48), ToHalf(kInfinity));
  std::vector<uint8_t> mask(30, 1);
  mask.resize(37, 0);
  for (const auto precision :
       {AttentionPrecision::kFp32, AttentionPrecision::kBf16, AttentionPrecision::kInt8}) {
    EXPECT_EQ(Equal(AttentionOnDevice(fewer, {operands}, {.precision = precision}).out,
                    AttentionOnDevice(c, {padded}, {.precision = precision, .key_mask = mask}).out),
              "");
  }
  const Case late{5, 70, 1, 24, 1.0f};  // all of the first tile is padding
  std::vector<uint8_t> late_mask(70, 1);
  std::fill_n(late_mask.begin(), 36, uint8_t{0});
  for (const float value :
       Floats(AttentionOnDevice(late, {RandomOperands(late)}, {.key_mask = late_mask}).out)) {
    EXPECT_TRUE(std::isfinite(value));
  }
}

}  // namespace
}  // namespace w8a8::test
