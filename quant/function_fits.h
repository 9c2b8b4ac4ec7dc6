// The coefficients behind the activation functions of quant/numerics.h and the exponential of
// attention, for kernels that evaluate them on vectors. Constants only.
#pragma once

#if defined(__CUDACC__)
#define W8A8_HOST_DEVICE __host__ __device__
#else
#define W8A8_HOST_DEVICE
#endif

namespace w8a8 {

// gelu(x) = x * phi, phi = clamp(1/2 + xc * P(two_over_limit2 * xc^2 - 1), 0, 1) with xc = clamp(x,
// -limit, limit). P is minimax in the project's error bound over all FP16 inputs, under phi(-limit)
// <= 0 and phi(limit) >= 1, so that beyond the limit the clamp gives exactly 0 and 1.
struct GeluFit {
  float limit, two_over_limit2;
  float p[10];  // ascending powers
};

W8A8_HOST_DEVICE constexpr GeluFit GeluErfFit() {
  return {4.625f,
          0x1.7ef8b6p-4f,
          {0x1.38c76ep-3f, -0x1.34d944p-4f, 0x1.ba4a36p-5f, -0x1.4d0ee0p-5f, 0x1.e710b8p-6f,
           -0x1.3c1fe2p-6f, 0x1.6fbeb2p-7f, -0x1.0995dap-7f, 0x1.7bcb2ep-8f, -0x1.f0660ap-10f}};
}

W8A8_HOST_DEVICE constexpr GeluFit GeluTanhFit() {
  return {4.5f,
          0x1.948b1p-4f,
          {0x1.416916p-3f, -0x1.3c8e0ep-4f, 0x1.c09cbcp-5f, -0x1.49c5b6p-5f, 0x1.d066c4p-6f,
           -0x1.1ec56ap-6f, 0x1.39d3c2p-7f, -0x1.c9f37ep-8f, 0x1.5e5d0cp-8f, -0x1.df1e1ap-10f}};
}

// 2^f on [-1/2, 1/2], relative error 9.2e-8; p[0] = 1, so that 2^0 is exact.
struct Exp2Fit {
  float p[6];  // ascending powers
};

W8A8_HOST_DEVICE constexpr Exp2Fit Exp2OfFraction() {
  return {{1.0f, 0x1.62e42ap-1f, 0x1.ebf9bcp-3f, 0x1.c6b752p-5f, 0x1.3cea88p-7f, 0x1.5bba14p-10f}};
}

// exp(x) = 2^n P(x - n ln 2) for -87 <= x <= 0, n = rne(x / ln 2): P is the Taylor polynomial,
// whose truncation is at most 2^-23 relative. ln2_high has 10 bits, so that n * ln2_high is exact.
struct ExpFit {
  float underflow;  // below it the result is 0
  float inv_ln2;
  float p[6];  // of 2^f, |f| <= 1/2, ascending powers; p[0] = 1
};

W8A8_HOST_DEVICE constexpr ExpFit ExpOfNonPositive() {
  return {-87.0f,
          0x1.715476p0f,
          {1.0f, 0x1.62e42ap-1f, 0x1.ebf9bcp-3f, 0x1.c6b754p-5f, 0x1.3ceab6p-7f, 0x1.5bb9e6p-10f}};
}

constexpr float kSiluRate = -0x1.715476p+0f;       // -log2(e)
constexpr float kQuickGeluRate = -0x1.3a4cbep+1f;  // -1.702 log2(e)
constexpr float kMaxExponent = 100.0f;             // |x * rate| is clamped to it

}  // namespace w8a8
