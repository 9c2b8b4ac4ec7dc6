#include "runtime/cuda/baseline.h"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "runtime/base/error.h"
#include "runtime/cuda/baseline_arena.h"
#include "runtime/cuda/e4m3.h"
#include "runtime/cuda/product_kernels.h"

namespace w8a8 {
namespace {

float E4m3Scale(float amax) { return amax > 0 ? amax / kMostE4m3 : 1.0f; }

}  // namespace

std::string BaselineNotes::Text() const {
  const auto listed = [this](std::initializer_list<std::pair<BaselineNote, const char*>> entries) {
    std::vector<std::string> names;
    for (const auto& [note, name] : entries) {
      if (Has(note)) names.emplace_back(name);
    }
    return names.empty() ? std::string("nothing") : fmt::format("{}", fmt::join(names, ", "));
  };
  std::string text = "in products: " + listed({{BaselineNote::kBias, "bias"},
                                               {BaselineNote::kGelu, "GELU"},
                                               {BaselineNote::kResidual, "residual"},
                                               {BaselineNote::kCodesInGelu, "E4M3 of GELU"}});
  text += "; by steps of their own: " +
          listed({{BaselineNote::kActivation, "activation"},
                  {BaselineNote::kAdd, "residual"},
                  {BaselineNote::kCodesApart, "E4M3 of attention or others"}});
  if (Has(BaselineNote::kCodesBefore)) text += "; E4M3 in the step before";
  if (Has(BaselineNote::kHalfProduct)) text += "; some products in FP16, for their sizes";
  if (Has(BaselineNote::kProduct)) text += "; some products by our kernels, the library has none";
  return text;
}

BaselineWeights::BaselineWeights(Queue queue, MatView<const float> weight, bool fp8)
    : CudaFloats(queue, weight, FloatOperands::kHalf) {
  // The library's rule for FP8: whole sixteens of inputs and outputs.
  if (!fp8 || n() % 16 != 0 || k() % 16 != 0) return;
  float amax = 0;
  for (int64_t n = 0; n < weight.rows; ++n) {
    for (const float value : weight.row_span(n)) amax = std::max(amax, Abs(value));
  }
  const float scale = E4m3Scale(amax), inv_scale = 1.0f / scale;
  const int64_t stride = PaddedCodes(weight.cols);
  std::vector<uint8_t> codes(static_cast<size_t>(weight.rows * stride));
  for (int64_t n = 0; n < weight.rows; ++n) {
    std::ranges::transform(weight.row_span(n), codes.begin() + n * stride,
                           [inv_scale](float value) { return ToE4m3(value * inv_scale); });
  }
  codes_ = DeviceMemory<uint8_t>(queue, codes);
  scales_ = DeviceMemory<float>(queue, std::vector<float>{scale, 0.0f, 0.0f});
}

void BaselineWeights::SetInputAmax(Queue queue, float amax) const {
  const std::lock_guard lock(mutex_);
  if (input_scale_.load() > 0) return;
  const float scale = E4m3Scale(amax);
  const std::array<float, 2> values{scale, 1.0f / scale};
  CopyToDevice(queue, scales_.bytes() + sizeof(float), values.data(), sizeof(values));
  input_scale_.store(scale);
}

std::optional<bool> BaselineWeights::Fp8Answer(int64_t rows) const {
  const std::lock_guard lock(mutex_);
  const auto found = answers_.find(rows);
  return found != answers_.end() ? std::optional(found->second) : std::nullopt;
}

void BaselineWeights::SetFp8Answer(int64_t rows, bool taken) const {
  const std::lock_guard lock(mutex_);
  answers_.emplace(rows, taken);
}

BaselineBackend::BaselineBackend(int device_index, BaselineKind kind, BaselineLibraries libraries,
                                 std::unique_ptr<CudaProducts> products)
    : device_index_(device_index),
      kind_(kind),
      libraries_(std::move(libraries)),
      products_(std::move(products)) {
  UseDevice(device_index_);
}

PackedPtr BaselineBackend::PackFloat(MatView<const float> weight, FloatOperands operands) {
  UseDevice(device_index_);
  W8A8_CHECK(operands == FloatOperands::kHalf);
  return std::make_shared<BaselineWeights>(nullptr, weight, kind_ == BaselineKind::kFp8);
}

PackedPtr BaselineBackend::PackInt8(const QuantizedLinear& linear, int64_t) {
  Fail("{}: what speed is compared with has no INT8 layers", linear.name);
}

PackedPtr BaselineBackend::PackEmulated(const QuantizedLinear& linear, int64_t) {
  Fail("{}: what speed is compared with has no INT8 layers", linear.name);
}

std::unique_ptr<Arena> BaselineBackend::MakeArena() {
  UseDevice(device_index_);  // whose queue it will have
  return std::make_unique<BaselineArena>(device_index_, products_.get(), vectors_, *this);
}

std::string BaselineBackend::How() const {
  std::string text = notes_.Text();
  const bool library = notes_.Has(BaselineNote::kAttention);
  const bool own = notes_.Has(BaselineNote::kOwnAttention);
  if (library) text += "; attention by " + libraries_.attention->name();
  if (!own) return text;
  text += library ? ", where it has none by our kernels" : "; attention by our kernels";
  if (!libraries_.no_attention.empty()) text += fmt::format(" ({})", libraries_.no_attention);
  return text;
}

const Half* BaselineBackend::Bias(Queue queue, const FloatsPtr& values) {
  if (values == nullptr || values->empty()) return nullptr;
  const std::lock_guard lock(mutex_);
  HalfVector& vector = biases_[values.get()];
  if (vector.owner == nullptr) {
    std::vector<Half> half(values->size());
    ToHalf(*values, half);
    vector = {.owner = values, .values = DeviceMemory<Half>(queue, half)};
  }
  return vector.values.data();
}

}  // namespace w8a8
