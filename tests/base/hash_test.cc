#include <cmath>
#include <fstream>

#include <gtest/gtest.h>

#include "runtime/base/counter_hash.h"
#include "runtime/base/error.h"
#include "runtime/base/sha256.h"
#include "tests/support/environment.h"
#include "tests/support/tolerance.h"

namespace w8a8 {
namespace {

// From FIPS 180-4's examples.
constexpr const char* kEmpty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr const char* kAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr const char* kMillionA =
    "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

TEST(Sha256, MatchesTheStandardsExamples) {
  EXPECT_EQ(Sha256Hex(std::string()), kEmpty);
  EXPECT_EQ(Sha256Hex(std::string("abc")), kAbc);
  EXPECT_EQ(Sha256Hex(std::string(1'000'000, 'a')), kMillionA);
}

TEST(Sha256, OfAFileEqualsThatOfItsBytes) {
  const auto path = test::ScratchFolder("sha256") / "file";
  std::ofstream(path) << std::string(1'000'000, 'a');
  EXPECT_EQ(Sha256HexOfFile(path), kMillionA);
  std::ofstream(path, std::ios::trunc).flush();
  EXPECT_EQ(Sha256HexOfFile(path), kEmpty);
}

TEST(Sha256, OfAMissingFileOrAFolderIsAnError) {
  const auto folder = test::ScratchFolder("sha256");
  EXPECT_THROW(Sha256HexOfFile(folder / "missing"), Error);
  EXPECT_THROW(Sha256HexOfFile(folder), Error);
}

// Computed with Python's integers; the first is SplitMix64's first output for seed 0.
TEST(CounterHash, MatchesPython) {
  EXPECT_EQ(MixBits(0), 0xe220a8397b1dcdafull);
  EXPECT_EQ(MixBits(~0ull), 0xe4d971771b652c20ull);
  EXPECT_EQ(HashText(""), 0xcbf29ce484222325ull);
  EXPECT_EQ(HashText("blocks.0.attn.qkv.weight"), 0xb8eed840ed199670ull);
  EXPECT_EQ(CounterHash(0, 0), 0xa706dd2f4d197e6full);
  EXPECT_EQ(CounterHash(7, 123456789), 0x54976f5a8247c29aull);
  EXPECT_EQ(HashUniform(7, 123456789), -0x1.5b4488p-2f);
  EXPECT_EQ(HashUniform(HashText("blocks.0.attn.qkv.weight"), 1ull << 40), -0x1.5cbd1cp-1f);
}

TEST(CounterHash, UniformFillsItsRangeEvenly) {
  double sum = 0;
  double squares = 0;
  constexpr int kCount = 100'000;
  for (uint64_t i = 0; i < kCount; ++i) {
    const double value = HashUniform(3, i);
    ASSERT_GE(value, -1);
    ASSERT_LT(value, 1);
    sum += value;
    squares += value * value;
  }
  // The variance of a uniform value in [-1, 1) is 1/3, that of its square 1/5 - 1/9.
  EXPECT_NEAR(sum / kCount, 0, test::MeanBound(std::sqrt(1.0 / 3), kCount));
  EXPECT_NEAR(squares / kCount, 1.0 / 3, test::MeanBound(std::sqrt(1.0 / 5 - 1.0 / 9), kCount));
}

}  // namespace
}  // namespace w8a8
