#include "runtime/encoder/stored_module.h"

#include <algorithm>

#include <fmt/ranges.h>

#include "quant/bit_packing.h"
#include "runtime/base/error.h"

namespace w8a8 {
namespace {

class ModuleChecker {
 public:
  ModuleChecker(const StoredTensor& part, const QuantizationRecord& record, TowerFindings& findings)
      : part_(part), record_(record), findings_(findings), stem_(StemOfKey(part.key)) {
    module_.name = findings.FullName(stem_);
    module_.rows = part.rows;
    module_.inputs = 1;
    for (size_t i = 1; i < part.shape.size(); ++i) module_.inputs *= part.shape[i];
    module_.packed = findings.Find(part.key) == nullptr;
  }

  StoredModule Check() {
    const std::string packed = stem_ + ".weight_packed";
    if (findings_.Find(part_.key) == nullptr && findings_.Find(packed) == nullptr) {
      findings_.Expect(part_.key);
      return module_;
    }
    module_.codes = findings_.Expect(module_.packed ? packed : part_.key);
    FindScheme();
    CheckGroups();
    if (module_.packed) {
      CheckPacked();
    } else {
      CheckInt8();
    }
    CheckScale();
    CheckZeroPoint();
    const std::optional<Quantizer>& input = module_.scheme.input;
    const bool fixed = input && input->is_static();
    module_.input_scale = Lone("input_scale", fixed, "its inputs have no static scale");
    CheckInputZeroPoint(fixed && !input->symmetric);
    module_.output_scale =
        Lone("output_scale", module_.scheme.output, "its outputs stay as they are");
    RefuseStray("output_zero_point", "only symmetric outputs are read");
    return module_;
  }

 private:
  void FindScheme() {
    const std::optional<ModuleScheme> scheme =
        record_.SchemeOf({.module = module_.name,
                          .tensor = module_.codes->name,
                          .packed = module_.packed,
                          .convolution = part_.shape.size() > 2});
    if (scheme) {
      module_.scheme = *scheme;
    } else if (module_.packed) {
      findings_.Wrong(*module_.codes, "is packed, and no config group says of how many bits");
    } else {
      module_.scheme = SchemeByTensors();
    }
  }

  // Symmetric codes may have zero points beside them, all 0: early llm-compressor wrote them.
  ModuleScheme SchemeByTensors() {
    ModuleScheme scheme;
    scheme.weight.symmetric = OddByte(findings_.Find(stem_ + ".weight_zero_point")) < 0;
    scheme.input = Quantizer();
    if (findings_.Find(stem_ + ".input_scale") != nullptr) {
      scheme.input->granularity = Granularity::kTensor;
      scheme.input->symmetric = OddByte(findings_.Find(stem_ + ".input_zero_point")) < 0;
    }
    scheme.output = findings_.Find(stem_ + ".output_scale") != nullptr;
    return scheme;
  }

  void CheckInt8() {
    const TensorView& codes = *module_.codes;
    if (const TensorView* packed = findings_.Take(stem_ + ".weight_packed")) {
      findings_.Wrong(*packed, "stands beside a 'weight'; which of the two counts is not said");
    }
    if (codes.dtype != Dtype::kI8) {
      findings_.Wrong(
          codes, fmt::format("has dtype {} where its neighbours are I8", DtypeName(codes.dtype)));
    } else if (codes.shape != part_.shape) {
      findings_.Wrong(codes, fmt::format("has shape {}, expected [{}]", codes.ShapeText(),
                                         fmt::join(part_.shape, ", ")));
    }
  }

  void CheckPacked() {
    const TensorView& codes = *module_.codes;
    const int bits = module_.scheme.weight.num_bits;
    const int64_t dense = PackedWords(module_.inputs, bits, PackedLayout::kDense);
    const int64_t aligned = PackedWords(module_.inputs, bits, PackedLayout::kAligned);
    const bool fits = codes.dtype == Dtype::kI32 && codes.shape.size() == 2 &&
                      codes.shape[0] == module_.rows &&
                      (codes.shape[1] == dense || codes.shape[1] == aligned);
    if (!fits) {
      findings_.Wrong(codes,
                      fmt::format("is {} {}, expected I32 [{}, {}]{} for {} inputs of {} bits",
                                  DtypeName(codes.dtype), codes.ShapeText(), module_.rows, dense,
                                  aligned == dense ? "" : fmt::format(" (old layout: {})", aligned),
                                  module_.inputs, bits));
    }
    const TensorView* shape = findings_.Expect(stem_ + ".weight_shape");
    if (shape == nullptr) return;
    if (shape->dtype != Dtype::kI64 || shape->shape != std::vector<int64_t>{2}) {
      findings_.Wrong(*shape, fmt::format("is {} {}, expected I64 [2]", DtypeName(shape->dtype),
                                          shape->ShapeText()));
    } else if (const auto stated = Int64Values(*shape);
               stated[0] != module_.rows || stated[1] != module_.inputs) {
      findings_.Wrong(*shape, fmt::format("says [{}, {}], expected [{}, {}]", stated[0], stated[1],
                                          module_.rows, module_.inputs));
    }
  }

  // compressed-tensors has no short last group. A group of all inputs is none.
  void CheckGroups() {
    SitePlan plan{.input = module_.scheme.input, .weight = module_.scheme.weight};
    plan = Normalized(std::move(plan), module_.inputs);
    module_.scheme.input = plan.input;
    module_.scheme.weight = *plan.weight;
    for (const int64_t size : {plan.weight->group_size, plan.input ? plan.input->group_size : 0}) {
      if (size == 0 || module_.inputs % size == 0) continue;
      findings_.Wrong(*module_.codes, fmt::format("has {} inputs, which the group size {} does not "
                                                  "divide",
                                                  module_.inputs, size));
    }
  }

  // [rows, 1] as compressed-tensors writes it, or [rows]; one for all rows may be a scalar.
  void CheckScale() {
    const int64_t size = module_.scheme.weight.group_size, rows = module_.rows;
    const int64_t groups = size == 0 ? 1 : (module_.inputs + size - 1) / size;
    module_.scale = findings_.Expect(stem_ + ".weight_scale");
    if (module_.scale == nullptr) return;
    const TensorView& scale = *module_.scale;
    const auto by_row = [&] { return scale.elements() == rows && scale.shape.front() == rows; };
    const bool fits = groups > 1 ? scale.shape == std::vector<int64_t>{rows, groups}
                                 : scale.elements() == 1 || by_row();
    if (!HoldsFloats(scale) || !fits) {
      findings_.Wrong(scale, fmt::format("is {} {}, expected [{}, {}] of F32, F16 or BF16",
                                         DtypeName(scale.dtype), scale.ShapeText(), rows, groups));
    }
  }

  void CheckZeroPoint() {
    const char* name = "weight_zero_point";
    if (module_.scheme.weight.symmetric) return RefuseStray(name, "its weights are symmetric");
    module_.zero_point = findings_.Expect(stem_ + "." + name);
    const TensorView* point = module_.zero_point;
    const TensorView* scale = module_.scale;
    if (point == nullptr || scale == nullptr) return;
    if (!module_.packed) {
      if (point->dtype == Dtype::kI8 && point->shape == scale->shape) return;
      return findings_.Wrong(*point,
                             fmt::format("is {} {}, expected I8 {}", DtypeName(point->dtype),
                                         point->ShapeText(), scale->ShapeText()));
    }
    const int64_t columns = scale->shape.size() > 1 ? scale->shape[1] : 1;
    const int64_t words = PackedWords(module_.rows, module_.scheme.weight.num_bits, Layout());
    if (point->dtype == Dtype::kI32 && point->shape == std::vector<int64_t>{words, columns}) return;
    findings_.Wrong(
        *point,
        fmt::format("is {} {}, expected I32 [{}, {}], packed along the {} outputs as "
                    "the weights are along the inputs",
                    DtypeName(point->dtype), point->ShapeText(), words, columns, module_.rows));
  }

  PackedLayout Layout() const {
    const int64_t dense =
        PackedWords(module_.inputs, module_.scheme.weight.num_bits, PackedLayout::kDense);
    const bool is_dense = module_.codes->shape.empty() || module_.codes->shape.back() == dense;
    return is_dense ? PackedLayout::kDense : PackedLayout::kAligned;
  }

  // <stem>.<name>, one value that is there if `wanted`; `reason` why it is stray.
  const TensorView* Lone(const char* name, bool wanted, const char* reason) {
    const std::string key = stem_ + "." + name;
    if (!wanted) {
      if (const TensorView* stray = findings_.Take(key)) {
        findings_.Wrong(*stray, fmt::format("is there, but by the configs {}", reason));
      }
      return nullptr;
    }
    const TensorView* scale = findings_.Expect(key);
    if (scale != nullptr && (!HoldsFloats(*scale) || scale->elements() != 1)) {
      findings_.Wrong(*scale, fmt::format("is {} {}, expected [1] of F32, F16 or BF16",
                                          DtypeName(scale->dtype), scale->ShapeText()));
    }
    return scale;
  }

  void CheckInputZeroPoint(bool wanted) {
    const char* name = "input_zero_point";
    if (!wanted) return RefuseStray(name, "its inputs are symmetric");
    module_.input_zero_point = findings_.Expect(stem_ + "." + name);
    const TensorView* point = module_.input_zero_point;
    if (point == nullptr || (point->dtype == Dtype::kI8 && point->elements() == 1)) return;
    findings_.Wrong(*point, fmt::format("is {} {}, expected I8 [1]", DtypeName(point->dtype),
                                        point->ShapeText()));
  }

  // Zero points that nothing asks for: harmless where all are 0 (packed, 0 is another code).
  void RefuseStray(const char* name, const char* reason) {
    const TensorView* point = findings_.Take(stem_ + "." + name);
    const int64_t odd = OddByte(point);
    if (odd < 0 && (point == nullptr || point->dtype != Dtype::kI32)) return;
    const int64_t width = std::max(1, DtypeBits(point->dtype) / 8);
    findings_.Wrong(*point,
                    odd < 0 ? fmt::format("is there, but {}", reason)
                            : fmt::format("is not 0 at element {}, but {}", odd / width, reason));
  }

  // The first byte that is not 0; -1: none.
  static int64_t OddByte(const TensorView* tensor) {
    if (tensor == nullptr) return -1;
    const auto odd =
        std::ranges::find_if(tensor->bytes, [](std::byte b) { return b != std::byte{}; });
    return odd == tensor->bytes.end() ? -1 : odd - tensor->bytes.begin();
  }

  const StoredTensor& part_;
  const QuantizationRecord& record_;
  TowerFindings& findings_;
  const std::string stem_;
  StoredModule module_;
};

}  // namespace

bool MayBeCodes(const StoredTensor& part) {
  return part.key.ends_with(".weight") && !part.transposed && part.rows == part.shape.front();
}

bool IsStoredAsCodes(const StoredTensor& part, const TowerFindings& findings) {
  if (!MayBeCodes(part)) return false;
  const TensorView* weight = findings.Find(part.key);
  if (weight != nullptr) return weight->dtype == Dtype::kI8;
  return findings.Find(StemOfKey(part.key) + ".weight_packed") != nullptr;
}

StoredModule CheckStoredModule(const StoredTensor& part, const QuantizationRecord& record,
                               TowerFindings& findings) {
  return ModuleChecker(part, record, findings).Check();
}

std::string StemOfKey(const std::string& key) {
  constexpr std::string_view kEnding = ".weight";
  return key.ends_with(kEnding) ? key.substr(0, key.size() - kEnding.size()) : key;
}

}  // namespace w8a8
