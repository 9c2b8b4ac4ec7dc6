// Every FP16 input of the four activation functions, against binary64.
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "quant/numerics.h"
#include "runtime/base/half.h"
#include "tests/support/tolerance.h"

namespace w8a8 {
namespace {

struct Function {
  const char* name;
  float (*actual)(float);
  double (*exact)(double);
};

double ExactGeluErf(double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }
// (1 + tanh(u)) / 2 = 1 / (1 + exp(-2 u)), which loses no digits for negative u.
double ExactGeluTanh(double x) {
  return x / (1.0 + std::exp(-2.0 * std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
}
double ExactQuickGelu(double x) { return x / (1.0 + std::exp(-1.702 * x)); }
double ExactSilu(double x) { return x / (1.0 + std::exp(-x)); }

constexpr Function kFunctions[] = {{"gelu_erf", GeluErf, ExactGeluErf},
                                   {"gelu_tanh", GeluTanh, ExactGeluTanh},
                                   {"quick_gelu", QuickGelu, ExactQuickGelu},
                                   {"silu", Silu, ExactSilu}};

Half Pattern(uint32_t bits) { return Half{static_cast<uint16_t>(bits)}; }

TEST(ActivationFunctions, AreWithinOneUlpOfBinary64OnEveryFiniteInput) {
  for (const Function& f : kFunctions) {
    double worst = 0.0;
    double worst_x = 0.0;
    for (uint32_t bits = 0; bits < 65536; ++bits) {
      if (!IsFinite(Pattern(bits))) continue;
      const float x = ToFloat(Pattern(bits));
      const double exact = f.exact(static_cast<double>(x));
      const double actual = static_cast<double>(ToFloat(ToHalf(f.actual(x))));
      const double used = std::fabs(actual - exact) / test::HalfUlp(exact);
      if (!(used <= worst)) {
        worst = used;
        worst_x = static_cast<double>(x);
      }
    }
    printf("%-10s uses %.3f of the allowance, worst at x = %g\n", f.name, worst, worst_x);
    EXPECT_LE(worst, 1.0) << f.name << " at x = " << worst_x;
  }
}

TEST(ActivationFunctions, KeepNanAndSaturateAtInfinity) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const Function& f : kFunctions) {
    EXPECT_TRUE(std::isnan(f.actual(std::nanf("")))) << f.name;
    EXPECT_EQ(ToHalf(f.actual(kInfinity)).bits, 0x7c00) << f.name;
    EXPECT_EQ(ToHalf(f.actual(-kInfinity)).bits, 0x8000) << f.name;
  }
}

TEST(ActivationFunctions, KeepTheSignOfZero) {
  for (const Function& f : kFunctions) {
    EXPECT_EQ(ToHalf(f.actual(0.0f)).bits, 0x0000) << f.name;
    EXPECT_EQ(ToHalf(f.actual(-0.0f)).bits, 0x8000) << f.name;
  }
}

// The four are different functions; a table that mixes two up must fail somewhere.
TEST(ActivationFunctions, AreFourFunctions) {
  for (const Function& f : kFunctions) {
    for (const Function& other : kFunctions) {
      if (f.name == other.name) continue;
      double worst = 0.0;
      for (uint32_t bits = 0; bits < 0x7c00; ++bits) {
        const float x = -ToFloat(Pattern(bits));
        const double exact = other.exact(static_cast<double>(x));
        const double actual = static_cast<double>(ToFloat(ToHalf(f.actual(x))));
        worst = std::max(worst, std::fabs(actual - exact) / test::HalfUlp(exact));
      }
      EXPECT_GT(worst, 1.0) << f.name << " passes for " << other.name;
    }
  }
}

}  // namespace
}  // namespace w8a8
