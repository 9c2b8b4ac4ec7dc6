// What the sm_90a INT8 product does not take, and what it says.
#include <functional>

#include <gtest/gtest.h>

#include "runtime/cuda/wgmma_product.h"

namespace w8a8 {
namespace {

alignas(16) int8_t memory[64];

WgmmaProduct Taken() {
  WgmmaProduct product;
  product.x = product.w = memory;
  product.x_stride = product.w_stride = 592;
  product.outputs.m = 729;
  product.outputs.n = 1001;
  product.outputs.k = 588;
  product.outputs.scale_x = product.outputs.scale_w = reinterpret_cast<const float*>(memory);
  product.outputs.out = memory;
  product.outputs.out_stride = 2016;
  return product;
}

void ExpectRefused(const std::string& words, const std::function<void(WgmmaProduct&)>& change) {
  WgmmaProduct product = Taken();
  change(product);
  const std::string reason = WgmmaRefuses(product);
  EXPECT_NE(reason.find(words), std::string::npos) << "'" << reason << "' lacks '" << words << "'";
}

TEST(WgmmaRefuses, NothingOfAnOrdinaryProduct) { EXPECT_EQ(WgmmaRefuses(Taken()), ""); }

TEST(WgmmaRefuses, WhatTmaOrTheArithmeticCannot) {
  ExpectRefused("m = 0", [](WgmmaProduct& p) { p.outputs.m = 0; });
  ExpectRefused("k = 131072", [](WgmmaProduct& p) { p.outputs.k = 131072; });
  ExpectRefused("more than 2^30 tiles",
                [](WgmmaProduct& p) { p.outputs.m = p.outputs.n = 1 << 30; });
  ExpectRefused("x is null", [](WgmmaProduct& p) { p.x = nullptr; });
  ExpectRefused("w does not begin", [](WgmmaProduct& p) { p.w = memory + 1; });
  ExpectRefused("rows of x are 588 bytes apart", [](WgmmaProduct& p) { p.x_stride = 588; });
  ExpectRefused("rows of w are 576 bytes apart", [](WgmmaProduct& p) { p.w_stride = 576; });
}

TEST(WgmmaRefuses, OutputsThatDoNotHoldTheirRows) {
  ExpectRefused("rows of the output are 2002",
                [](WgmmaProduct& p) { p.outputs.out_stride = 2002; });
  ExpectRefused("the output is null", [](WgmmaProduct& p) { p.outputs.out = nullptr; });
  ExpectRefused("inv_scale is 0", [](WgmmaProduct& p) { p.epilogue = WgmmaEpilogue::kCodes; });
  ExpectRefused("the residual is null",
                [](WgmmaProduct& p) { p.epilogue = WgmmaEpilogue::kResidual; });
  ExpectRefused("2016 and 2004 bytes apart", [](WgmmaProduct& p) {
    p.epilogue = WgmmaEpilogue::kResidual;
    p.outputs.residual = reinterpret_cast<const uint16_t*>(memory);
    p.outputs.residual_stride = 1002;
  });
}

}  // namespace
}  // namespace w8a8
