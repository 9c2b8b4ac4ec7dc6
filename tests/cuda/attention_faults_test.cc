// Faults in attention's kernels are found: a barrier that is missing, sizes that are wrong by one,
// operands that are swapped.
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/cuda/attention_on_device.h"
#include "tests/cuda/planted_faults.h"
#include "tests/support/errors.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

const std::string kNoError = "no error was thrown";
constexpr AttentionCase kCase{40, 70, 1, 24, 1.0f};

std::vector<AttentionOperands> Images() { return {RandomOperands(kCase)}; }

class AttentionFaults : public testing::TestWithParam<AttentionPrecision> {};

TEST_P(AttentionFaults, EveryBarrierIsNeeded) {
  for (const bool probabilities : {false, true}) {  // another kernel of the float kinds
    const AttentionOptions options = {.precision = GetParam(), .probabilities = probabilities};
    ExpectEveryBarrierIsNeeded([&] { return AttentionOnDevice(kCase, Images(), options); });
  }
}

TEST_P(AttentionFaults, ARowTooManyIsOutOfBounds) {
  const AttentionOperands operands = Images()[0];
  const DeviceArray<Half> q(operands.q), k(operands.k), v(operands.v), out(operands.q.size());
  BatchAttentionArgs args = {.precision = GetParam(),
                             .q = {q.data(), 40, 24, 24},
                             .k = {k.data(), 70, 24, 24},
                             .v = {v.data(), 70, 24, 24},
                             .out = {out.data(), 40, 24, 24},
                             .images = 1,
                             .heads = 1,
                             .head_dim = 24};
  const DeviceArray<std::byte> scratch(AttentionScratchBytes(args) + 4096);
  args.scratch = scratch.data();
  BatchAttentionArgs more_keys = args, more_queries = args, fewer_queries = args;
  more_keys.k.rows = more_keys.v.rows = 71;
  more_queries.q.rows = more_queries.out.rows = 41;
  fewer_queries.q.rows = fewer_queries.out.rows = 39;
  EXPECT_NE(ErrorOf([&] { LaunchAttention(nullptr, more_keys); }), kNoError);
  EXPECT_NE(ErrorOf([&] { LaunchAttention(nullptr, more_queries); }), kNoError);
  LaunchAttention(nullptr, fewer_queries);
  EXPECT_TRUE(Contains(ErrorOf([&] { out.Download(); }), "nobody wrote"));
  args.head_dim = 25;
  EXPECT_NE(ErrorOf([&] { LaunchAttention(nullptr, args); }), kNoError);
}

TEST_P(AttentionFaults, KeysAreNotValuesAndEveryKeyCounts) {
  const AttentionOptions options = {.precision = GetParam()};
  const std::vector<AttentionOperands> images = Images();
  std::vector<AttentionOperands> swapped = images;
  std::swap(swapped[0].k, swapped[0].v);
  AttentionCase fewer = kCase;
  fewer.keys = 69;
  const std::vector<Half> right = AttentionOnDevice(kCase, images, options).out;
  EXPECT_NE(Equal(right, AttentionOnDevice(kCase, swapped, options).out), "");
  EXPECT_NE(Equal(right, AttentionOnDevice(fewer, images, options).out), "");
}

INSTANTIATE_TEST_SUITE_P(EveryKind, AttentionFaults,
                         testing::Values(AttentionPrecision::kFp32, AttentionPrecision::kBf16,
                                         AttentionPrecision::kInt8));

}  // namespace
}  // namespace w8a8::test
