// The judges of the other tests must be able to say no.
#include "tests/support/tolerance.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;
using Codes = std::vector<int8_t>;

TEST(Equal, NamesTheFirstAndTheWorstElement) {
  EXPECT_EQ(Equal(Floats{1, NAN}, Floats{1, -NAN}), "");
  EXPECT_EQ(Equal(Floats{1, 2, 3}, Floats{1, 2.5, 9}),
            "2 of 3 differ; first [1]: expected 2, actual 2.5; worst [2]: 3, 9");
}

TEST(Equal, TellsZeroFromNegativeZeroAndSizesApart) {
  EXPECT_NE(Equal(Floats{0.0f}, Floats{-0.0f}), "");
  EXPECT_NE(Equal(Floats{0}, Floats{0, 0}), "");
  EXPECT_NE(Equal(Floats{0}, Floats{NAN}), "");
  EXPECT_NE(Equal(Codes{1}, Codes{2}), "");
}

TEST(TwiceNaive, AllowsTwiceTheErrorAndNoMore) {
  const Doubles exact = {0, 0};
  EXPECT_EQ(TwiceNaive(exact, Floats{1, 1}, Floats{2, 2}), "");
  EXPECT_NE(TwiceNaive(exact, Floats{1, 1}, Floats{2, 2.01f}), "");
  EXPECT_NE(TwiceNaive(exact, Floats{1, 1}, Floats{0, NAN}), "");
  EXPECT_EQ(TwiceNaive(exact, Floats{0, 0}, Floats{0, 0}), "");
}

TEST(TwiceNaive, OfTwoErrorsNamesTheShare) {
  EXPECT_EQ(TwiceNaive(1.5, 3.0), "");
  EXPECT_EQ(TwiceNaive(1.5, 6.0), "error 6.000e+00 is 2.00 of the 3.000e+00 allowed (twice naive)");
  EXPECT_NE(TwiceNaive(1.5, NAN), "");
}

TEST(HalfUlp, IsTheDistanceOfNeighboursAndHalfOfASubnormalsMultiple) {
  EXPECT_EQ(HalfUlp(1.0), 0x1p-10);
  EXPECT_EQ(HalfUlp(-1.999), 0x1p-10);
  EXPECT_EQ(HalfUlp(2.0), 0x1p-9);
  EXPECT_EQ(HalfUlp(0.0), 0x1p-15);
}

TEST(BoundsOfFigures, AreTheirDefinitions) {
  EXPECT_EQ(RoundingBound(3, -2), 6 * 0x1p-53);
  EXPECT_EQ(PrintedBound(0), 0.5);
  EXPECT_EQ(MeanBound(2, 25), 2);
}

TEST(Midpoint, AllowsOneApartAtAMidpointOnly) {
  EXPECT_EQ(Midpoint(Doubles{2.5}, Codes{2}, Codes{3}), "");
  EXPECT_NE(Midpoint(Doubles{2.4}, Codes{2}, Codes{3}), "");
  EXPECT_NE(Midpoint(Doubles{2.5}, Codes{2}, Codes{4}), "");
  EXPECT_NE(Midpoint(Doubles{NAN}, Codes{2}, Codes{3}), "");
  EXPECT_NE(Midpoint(Doubles{}, Codes{2}, Codes{2}), "");
}

}  // namespace
}  // namespace w8a8::test
