#include <algorithm>
#include <array>
#include <cstring>

#include <fmt/ranges.h>

#include "runtime/base/error.h"
#include "runtime/base/safetensors.h"
#include "runtime/base/safetensors_header.h"

namespace w8a8 {
namespace {

struct DtypeRow {
  std::string_view name;
  int bits;
};

// In the order of Dtype.
constexpr std::array<DtypeRow, 22> kDtypes = {{
    {"BOOL", 8},        {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},
    {"I8", 8},          {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
    {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16},    {"F16", 16},    {"BF16", 16},
    {"I32", 32},        {"U32", 32},    {"F32", 32},    {"C64", 64},    {"F64", 64},
    {"I64", 64},        {"U64", 64},
}};
static_assert(kDtypes.size() == static_cast<size_t>(Dtype::kU64) + 1);

template <class T>
std::vector<T> Copy(const TensorView& tensor) {
  std::vector<T> values(tensor.bytes.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
  return values;
}

[[noreturn]] void FailDtype(const TensorView& tensor, std::string_view wanted) {
  Fail("tensor '{}' {} holds {}; {} is needed. Convert the checkpoint to that dtype.",
       PrintableName(tensor.name), tensor.ShapeText(), DtypeName(tensor.dtype), wanted);
}

}  // namespace

std::string_view DtypeName(Dtype dtype) { return kDtypes.at(static_cast<size_t>(dtype)).name; }

int DtypeBits(Dtype dtype) { return kDtypes.at(static_cast<size_t>(dtype)).bits; }

std::optional<Dtype> DtypeFromName(std::string_view name) {
  const auto row = std::ranges::find(kDtypes, name, &DtypeRow::name);
  if (row == kDtypes.end()) return std::nullopt;
  return static_cast<Dtype>(row - kDtypes.begin());
}

int64_t TensorView::elements() const {
  int64_t product = 1;
  for (const int64_t extent : shape) product *= extent;
  return product;
}

std::string TensorView::ShapeText() const { return fmt::format("[{}]", fmt::join(shape, ", ")); }

std::vector<float> FloatValues(const TensorView& tensor) {
  if (tensor.dtype == Dtype::kF32) return Copy<float>(tensor);
  if (tensor.dtype == Dtype::kF16) {
    std::vector<float> values(tensor.bytes.size() / sizeof(Half));
    // The bytes may stand at any address. A second copy of a large tensor costs more than the
    // conversion, so they pass through a small one.
    std::array<Half, 4096> piece;
    for (size_t i = 0; i < values.size(); i += piece.size()) {
      const size_t count = std::min(piece.size(), values.size() - i);
      std::memcpy(piece.data(), tensor.bytes.data() + i * sizeof(Half), count * sizeof(Half));
      ToFloat(std::span(piece).first(count), std::span(values).subspan(i, count));
    }
    return values;
  }
  if (tensor.dtype == Dtype::kBF16) {
    const std::vector<BFloat16> brains = Copy<BFloat16>(tensor);
    std::vector<float> values(brains.size());
    std::ranges::transform(brains, values.begin(), [](BFloat16 b) { return ToFloat(b); });
    return values;
  }
  FailDtype(tensor, "F32, F16 or BF16");
}

std::vector<Half> HalfValues(const TensorView& tensor) {
  if (tensor.dtype != Dtype::kF16) FailDtype(tensor, "F16");
  return Copy<Half>(tensor);
}

std::vector<int8_t> Int8Values(const TensorView& tensor) {
  if (tensor.dtype != Dtype::kI8) FailDtype(tensor, "I8");
  return Copy<int8_t>(tensor);
}

std::vector<int32_t> Int32Values(const TensorView& tensor) {
  if (tensor.dtype != Dtype::kI32) FailDtype(tensor, "I32");
  return Copy<int32_t>(tensor);
}

std::vector<int64_t> Int64Values(const TensorView& tensor) {
  if (tensor.dtype != Dtype::kI64) FailDtype(tensor, "I64");
  return Copy<int64_t>(tensor);
}

}  // namespace w8a8
