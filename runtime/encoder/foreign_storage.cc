#include "runtime/encoder/foreign_storage.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "runtime/base/error.h"
#include "runtime/encoder/stored_module.h"
#include "runtime/encoder/tower_findings.h"

namespace w8a8 {
namespace {

// A tensor "<stem>.<name>" that one format alone writes. Names that end with a dot stand for all
// that begin so.
struct Mark {
  std::string_view name;
  std::string_view format;
};
// Where there is no "<stem>.weight".
constexpr std::array<Mark, 10> kInsteadOfWeight = {{{"weight_packed", "pack-quantized"},
                                                    {"qweight", "AWQ"},
                                                    {"W_q", "HQQ"},
                                                    {"weight_blocks", "MXFP4"},
                                                    {"bitmask", "sparse-24-bitmask"},
                                                    {"compressed", "sparse-bitmask"},
                                                    {"weight_qdata", "torchao"},
                                                    {"_weight_qdata", "torchao"},
                                                    {"weight._data", "quanto"},
                                                    {"codebooks", "AQLM"}}};
// Beside a "<stem>.weight".
constexpr std::array<Mark, 11> kBesideWeight = {{{"SCB", "bitsandbytes (8-bit)"},
                                                 {"weight.SCB", "bitsandbytes (8-bit)"},
                                                 {"weight_format", "bitsandbytes (8-bit)"},
                                                 {"weight.", "bitsandbytes (4-bit)"},
                                                 {"weight_scale_2", "modelopt (NVFP4)"},
                                                 {"weight_scale_inv", "FP8 by blocks"},
                                                 {"pre_quant_scale", "modelopt"},
                                                 {"weight_quantizer.", "modelopt"},
                                                 {"input_quantizer.", "modelopt"},
                                                 {"weight_g_idx", "groups of inputs"},
                                                 {"weight_blocks", "MXFP4"}}};
// Scales that belong to codes, and say that a float weight is meant to be quantized at run time.
constexpr std::array<std::string_view, 5> kScales = {"weight_scale", "input_scale", "output_scale",
                                                     "weight_zero_point", "input_zero_point"};

// All "<stem>.*" but the bias.
std::vector<const TensorView*> CompanionsOf(const Checkpoint& checkpoint, const std::string& stem) {
  std::vector<const TensorView*> companions;
  const std::string start = stem + ".";
  const auto& tensors = checkpoint.tensors();
  for (auto entry = tensors.lower_bound(start);
       entry != tensors.end() && entry->first.starts_with(start); ++entry) {
    const std::string_view name = std::string_view(entry->first).substr(start.size());
    if (name != "weight" && name != "bias") companions.push_back(&entry->second);
  }
  return companions;
}

template <size_t kCount>
std::optional<ForeignStorage> FindMark(const std::vector<const TensorView*>& companions,
                                       const std::string& stem,
                                       const std::array<Mark, kCount>& marks) {
  for (const Mark& mark : marks) {
    for (const TensorView* tensor : companions) {
      const std::string_view name = std::string_view(tensor->name).substr(stem.size() + 1);
      if (name == mark.name || (mark.name.ends_with('.') && name.starts_with(mark.name))) {
        return ForeignStorage{tensor, std::string(mark.format)};
      }
    }
  }
  return std::nullopt;
}

std::string FormatOfDtype(Dtype dtype) {
  const std::string_view name = DtypeName(dtype);
  if (name.starts_with("F8")) return "FP8";
  if (name.starts_with("F4")) return "FP4";
  if (name.starts_with("F6")) return "FP6";
  return "packed integers";
}

std::optional<ForeignStorage> FindInsteadOfWeight(const std::vector<const TensorView*>& companions,
                                                  const std::string& stem) {
  if (companions.empty()) return std::nullopt;
  auto marked = FindMark(companions, stem, kInsteadOfWeight);
  if (!marked) return ForeignStorage{companions.front(), "another form"};
  const auto has = [&](std::string_view name) {
    return std::ranges::any_of(companions, [&](const TensorView* tensor) {
      return tensor->name == stem + "." + std::string(name);
    });
  };
  if (has("qweight") && has("g_idx")) marked->format = "GPTQ";
  if (has("weight_packed") && marked->tensor->dtype == Dtype::kU8) {
    marked->format = has("weight_global_scale") ? "nvfp4-pack-quantized" : "mxfp4-pack-quantized";
  }
  return marked;
}

}  // namespace

std::optional<ForeignStorage> FindForeignStorage(const Checkpoint& checkpoint,
                                                 const std::string& stem) {
  const std::vector<const TensorView*> companions = CompanionsOf(checkpoint, stem);
  const TensorView* weight = checkpoint.Find(stem + ".weight");
  const TensorView* packed = checkpoint.Find(stem + ".weight_packed");
  if (weight == nullptr && packed != nullptr && packed->dtype == Dtype::kI32) {
    return FindMark(companions, stem, kBesideWeight);
  }
  if (weight == nullptr) return FindInsteadOfWeight(companions, stem);
  if (auto marked = FindMark(companions, stem, kBesideWeight)) {
    // Codes are the better proof: "fc1.weight is U8".
    if (!HoldsFloats(*weight)) marked->tensor = weight;
    return marked;
  }
  if (weight->dtype == Dtype::kI8) return std::nullopt;
  if (!HoldsFloats(*weight)) {
    const bool scaled = checkpoint.Find(stem + ".weight_scale") != nullptr;
    if (!scaled && DtypeBits(weight->dtype) > 8) return std::nullopt;  // F64 and kin are no codes
    return ForeignStorage{weight, FormatOfDtype(weight->dtype)};
  }
  for (const std::string_view name : kScales) {
    const TensorView* scale = checkpoint.Find(stem + "." + std::string(name));
    if (scale != nullptr) return ForeignStorage{scale, "float weights quantized at run time"};
  }
  return std::nullopt;
}

void RefuseForeignTower(const Checkpoint& checkpoint, const std::string& anchor,
                        const std::string& described) {
  if (checkpoint.HasTower(anchor)) return;
  const std::string stem = StemOfKey(anchor);
  for (const auto& [key, tensor] : checkpoint.tensors()) {
    const size_t at = key.find(stem + ".");
    if (at == std::string::npos || (at > 0 && key[at - 1] != '.')) continue;
    const std::string module = key.substr(0, at + stem.size());
    const TensorView* packed = checkpoint.Find(module + ".weight_packed");
    if (packed != nullptr && packed->dtype == Dtype::kI32) {
      RefuseStorage(checkpoint, {packed, "pack-quantized"}, described);
    }
    const auto storage = FindForeignStorage(checkpoint, module);
    if (storage) RefuseStorage(checkpoint, *storage, described);
  }
}

void RefuseStorage(const Checkpoint& checkpoint, const ForeignStorage& storage,
                   const std::string& described) {
  Fail(
      "{}: the vision encoder itself is stored in a form that is not read: '{}' is {} {} "
      "({}{}{})"
      ". Read are F32, F16, BF16, and the integers of compressed-tensors (int-quantized and "
      "pack-quantized linear layers). Give the model before it was quantized.",
      checkpoint.folder().string(), storage.tensor->name, DtypeName(storage.tensor->dtype),
      storage.tensor->ShapeText(), storage.format, described.empty() ? "" : "; ", described);
}

}  // namespace w8a8
