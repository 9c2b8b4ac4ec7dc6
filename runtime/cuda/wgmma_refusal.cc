#include <cmath>

#include <fmt/format.h>

#include "runtime/cuda/wgmma_product.h"

namespace w8a8 {
namespace {

constexpr int64_t kMostRows = int64_t{1} << 30;
constexpr int64_t kMostTiles = int64_t{1} << 30;
constexpr int64_t kTmaAlignment = 16;

bool Misaligned(const void* pointer, int64_t alignment) {
  return reinterpret_cast<uintptr_t>(pointer) % static_cast<uintptr_t>(alignment) != 0;
}

std::string RefusesSizes(const WgmmaOutputs& outputs) {
  for (const auto& [name, size] : {std::pair{"m", outputs.m}, std::pair{"n", outputs.n}}) {
    if (size >= 1 && size <= kMostRows) continue;
    return fmt::format("{} = {}, but the sm_90a product takes 1 to {}", name, size, kMostRows);
  }
  if (outputs.k < 1 || outputs.k > kMaxInputs) {
    return fmt::format("k = {}, but int32 sums are exact for 1 to {}", outputs.k, kMaxInputs);
  }
  const WgmmaGrid grid =
      GridOf(ShapeOf(WgmmaTiles::kPingPong64x128), outputs.m, outputs.n, outputs.k);
  if (int64_t{grid.rows} * grid.columns < kMostTiles) return "";
  return fmt::format("{} x {} outputs are more than 2^30 tiles; multiply fewer rows at a time",
                     outputs.m, outputs.n);
}

std::string RefusesOperand(const char* name, const int8_t* codes, int64_t stride, int32_t k) {
  if (codes == nullptr) return fmt::format("{} is null", name);
  if (Misaligned(codes, kTmaAlignment)) {
    return fmt::format("{} does not begin at a multiple of {} bytes, as TMA needs", name,
                       kTmaAlignment);
  }
  if (stride >= k && stride % kTmaAlignment == 0) return "";
  return fmt::format("rows of {} are {} bytes apart; {} codes need a multiple of {} from {} on",
                     name, stride, k, kTmaAlignment, k);
}

std::string RefusesOutput(const WgmmaProduct& product) {
  const WgmmaOutputs& outputs = product.outputs;
  const bool codes = product.epilogue == WgmmaEpilogue::kCodes;
  const int64_t alignment = codes ? 8 : 16;
  const int64_t row = int64_t{outputs.n} * (codes ? 1 : 2);
  if (outputs.out == nullptr) return "the output is null";
  if (Misaligned(outputs.out, alignment)) {
    return fmt::format("the output does not begin at a multiple of {} bytes", alignment);
  }
  if (outputs.out_stride >= row && outputs.out_stride % alignment == 0) return "";
  return fmt::format("rows of the output are {} bytes apart; {} bytes need a multiple of {}",
                     outputs.out_stride, row, alignment);
}

std::string RefusesScales(const WgmmaProduct& product) {
  const WgmmaOutputs& outputs = product.outputs;
  if (outputs.scale_x == nullptr || outputs.scale_w == nullptr) return "a scale is null";
  if (product.epilogue != WgmmaEpilogue::kCodes) return "";
  if (std::isfinite(outputs.inv_scale) && outputs.inv_scale > 0) return "";
  return fmt::format(
      "the codes' inv_scale is {}; a static scale and its reciprocal are finite and "
      "above 0",
      outputs.inv_scale);
}

std::string RefusesResidual(const WgmmaProduct& product) {
  const WgmmaOutputs& outputs = product.outputs;
  if (product.epilogue != WgmmaEpilogue::kResidual) return "";
  if (outputs.residual == nullptr) return "the residual is null";
  const bool pairs = !Misaligned(outputs.residual, 4) && outputs.residual_stride % 2 == 0;
  if (!pairs || outputs.residual_stride < outputs.n) {
    return fmt::format(
        "rows of the residual are {} values apart; {} values need an even distance "
        "from a multiple of 4 bytes",
        outputs.residual_stride, outputs.n);
  }
  const bool in_place = outputs.residual == outputs.out;
  if (!in_place || outputs.residual_stride * 2 == outputs.out_stride) return "";
  return fmt::format("the output is the residual, but their rows are {} and {} bytes apart",
                     outputs.out_stride, outputs.residual_stride * 2);
}

}  // namespace

std::string WgmmaRefuses(const WgmmaProduct& product) {
  const WgmmaOutputs& outputs = product.outputs;
  for (const std::string& reason :
       {RefusesSizes(outputs), RefusesOperand("x", product.x, product.x_stride, outputs.k),
        RefusesOperand("w", product.w, product.w_stride, outputs.k), RefusesOutput(product),
        RefusesScales(product), RefusesResidual(product)}) {
    if (!reason.empty()) return reason;
  }
  return "";
}

}  // namespace w8a8
