#include "runtime/encoder/tower_findings.h"

#include <algorithm>

#include <fmt/ranges.h>

#include "runtime/base/error.h"
#include "runtime/base/names.h"

namespace w8a8 {

const TensorView* TowerFindings::Take(const std::string& key) {
  const TensorView* tensor = Find(key);
  if (tensor != nullptr) used_.insert(tensor->name);
  return tensor;
}

const TensorView* TowerFindings::Expect(const std::string& key) {
  const std::string full = FullName(key);
  const TensorView* tensor = checkpoint_.Find(full);
  if (!used_.insert(full).second) return tensor;
  if (tensor == nullptr) missing_.push_back(full);
  return tensor;
}

void TowerFindings::Wrong(const TensorView& tensor, const std::string& how) {
  const std::string text = fmt::format("'{}' {}", tensor.name, how);
  if (std::find(wrong_.begin(), wrong_.end(), text) == wrong_.end()) wrong_.push_back(text);
}

void TowerFindings::CheckFloat(const std::string& key, const std::vector<int64_t>& shape) {
  const TensorView* tensor = Expect(key);
  if (tensor == nullptr) return;
  if (!HoldsFloats(*tensor)) {
    Wrong(*tensor,
          fmt::format("has dtype {}, expected F32, F16 or BF16", DtypeName(tensor->dtype)));
  } else if (tensor->shape != shape) {
    Wrong(*tensor,
          fmt::format("has shape {}, expected [{}]", tensor->ShapeText(), fmt::join(shape, ", ")));
  }
}

void TowerFindings::ThrowIfAny() const {
  if (missing_.empty() && wrong_.empty()) return;
  std::string text = checkpoint_.folder().string() + ":";
  if (!missing_.empty()) {
    text += fmt::format(" {} tensor(s) that config.json asks for are missing: {}.", missing_.size(),
                        FirstOf(missing_));
  }
  if (!wrong_.empty()) {
    text +=
        fmt::format(" {} tensor(s) do not fit config.json: {}.", wrong_.size(), FirstOf(wrong_));
  }
  if (std::any_of(missing_.begin(), missing_.end(),
                  [this](const std::string& key) { return key == prefix_ + "head.probe"; })) {
    text +=
        " If the checkpoint has no pooling head, its config must say \"vision_use_head\": false.";
  }
  throw Error(text);
}

bool HoldsFloats(const TensorView& tensor) {
  return tensor.dtype == Dtype::kF32 || tensor.dtype == Dtype::kF16 || tensor.dtype == Dtype::kBF16;
}

}  // namespace w8a8
