#include "runtime/encoder/tower_check.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "runtime/base/error.h"
#include "runtime/base/names.h"
#include "runtime/encoder/foreign_storage.h"

namespace w8a8 {
namespace {

bool IsFloat(Dtype dtype) {
  return dtype == Dtype::kF32 || dtype == Dtype::kF16 || dtype == Dtype::kBF16;
}

class TowerChecker {
 public:
  TowerChecker(const Checkpoint& checkpoint, const std::string& prefix,
               const QuantizationRecord& record)
      : checkpoint_(checkpoint), prefix_(prefix), record_(record) {}

  void CheckLinear(const LinearLayout& linear) {
    for (const StoredTensor& weight : linear.weights) RefuseForeign(weight);
    const bool codes = AnyInt8(linear);
    if (codes && linear.site) quantized_ = true;
    if (codes && !linear.site) dequantized_.push_back(linear.stem);
    for (const StoredTensor& weight : linear.weights) {
      if (codes) {
        CheckCodes(weight);
      } else {
        CheckFloat(weight.key, weight.shape);
      }
    }
    CheckBiases(linear);
  }

  void CheckFloat(const std::string& key, const std::vector<int64_t>& shape) {
    const TensorView* tensor = Expect(key);
    if (tensor == nullptr) return;
    if (!IsFloat(tensor->dtype)) {
      Wrong(*tensor,
            fmt::format("has dtype {}, expected F32, F16 or BF16", DtypeName(tensor->dtype)));
    } else if (tensor->shape != shape) {
      Wrong(*tensor, fmt::format("has shape {}, expected [{}]", tensor->ShapeText(),
                                 fmt::join(shape, ", ")));
    }
  }

  void Finish() const {
    if (missing_.empty() && wrong_.empty()) return;
    std::string text = checkpoint_.folder().string() + ":";
    if (!missing_.empty()) {
      text += fmt::format(" {} tensor(s) that config.json asks for are missing: {}.",
                          missing_.size(), FirstOf(missing_));
    }
    if (!wrong_.empty()) {
      text +=
          fmt::format(" {} tensor(s) do not fit config.json: {}.", wrong_.size(), FirstOf(wrong_));
    }
    if (std::any_of(missing_.begin(), missing_.end(),
                    [this](const std::string& key) { return key == prefix_ + "head.probe"; })) {
      text +=
          " If the checkpoint has no pooling head, its config must say "
          "\"vision_use_head\": false.";
    }
    throw Error(text);
  }

  const std::set<std::string, std::less<>>& used() const { return used_; }
  bool quantized() const { return quantized_; }

  std::vector<std::string> Notes() const {
    std::vector<std::string> notes;
    if (!dequantized_.empty()) {
      notes.push_back(
          fmt::format("{} layer(s) outside the blocks are stored in INT8 and run dequantized: {}",
                      dequantized_.size(), FirstOf(dequantized_)));
    }
    if (!uncovered_.empty()) {
      notes.push_back(fmt::format(
          "{} module(s) are stored as INT8 codes, first '{}' ({}): their scales are applied here; "
          "a loader that goes by the config takes the codes for weights",
          uncovered_.size(), uncovered_.front(), why_uncovered_));
    }
    if (record_.present() && !quantized_ && dequantized_.empty()) {
      notes.push_back(fmt::format("the encoder itself is not quantized, other parts may be ({})",
                                  record_.Describe()));
    }
    return notes;
  }

 private:
  void RefuseForeign(const StoredTensor& weight) const {
    if (!MayBeCodes(weight)) return;
    const auto foreign = FindForeignStorage(checkpoint_, StemOfKey(FullKey(prefix_, weight.key)));
    if (foreign) RefuseStorage(checkpoint_, *foreign, record_.Describe());
  }

  bool AnyInt8(const LinearLayout& linear) const {
    return std::any_of(linear.weights.begin(), linear.weights.end(), [this](const auto& weight) {
      const TensorView* tensor = checkpoint_.Find(FullKey(prefix_, weight.key));
      return MayBeCodes(weight) && tensor != nullptr && tensor->dtype == Dtype::kI8;
    });
  }

  void CheckCodes(const StoredTensor& weight) {
    const TensorView* codes = Expect(weight.key);
    if (codes != nullptr && codes->dtype != Dtype::kI8) {
      Wrong(*codes,
            fmt::format("has dtype {} where its neighbours are I8", DtypeName(codes->dtype)));
    } else if (codes != nullptr && codes->shape != weight.shape) {
      Wrong(*codes, fmt::format("has shape {}, expected [{}]", codes->ShapeText(),
                                fmt::join(weight.shape, ", ")));
    }
    const std::string stem = StemOfKey(weight.key);
    CheckScale(Expect(stem + ".weight_scale"), weight.rows);
    const StoredCodes stored{.module = FullKey(prefix_, stem),
                             .zero_weight_point = HasZeroPoint(stem + ".weight_zero_point"),
                             .zero_input_point = HasZeroPoint(stem + ".input_zero_point"),
                             .convolution = weight.shape.size() > 2};
    const InputScheme scheme = record_.SchemeOf(stored);
    NoteUncovered(stored);
    const std::string input_key = stem + ".input_scale";
    const bool stored_input = checkpoint_.Find(FullKey(prefix_, input_key)) != nullptr;
    if (!stored_input && scheme != InputScheme::kStaticTensor) return;
    CheckScale(Expect(input_key), 1);
  }

  void NoteUncovered(const StoredCodes& stored) {
    const std::string why = record_.WhyUncovered(stored);
    if (why.empty()) return;
    if (uncovered_.empty()) why_uncovered_ = why;
    uncovered_.push_back(stored.module);
  }

  // [rows, 1] as compressed-tensors writes it, or [rows]; one for all rows may be a scalar.
  void CheckScale(const TensorView* scale, int64_t rows) {
    if (scale == nullptr) return;
    const int64_t count = scale->elements();
    const bool fits = count == 1 || (count == rows && scale->shape.front() == rows);
    if (!IsFloat(scale->dtype) || !fits) {
      Wrong(*scale, fmt::format("is {} {}, expected [{}, 1] of F32, F16 or BF16",
                                DtypeName(scale->dtype), scale->ShapeText(), rows));
    }
  }

  // Symmetric codes may have zero points beside them, all 0: early llm-compressor wrote them.
  bool HasZeroPoint(const std::string& key) {
    const TensorView* point = checkpoint_.Find(FullKey(prefix_, key));
    if (point == nullptr) return false;
    used_.insert(point->name);
    const auto odd =
        std::ranges::find_if(point->bytes, [](std::byte b) { return b != std::byte{}; });
    if (odd != point->bytes.end()) {
      const auto width = static_cast<std::ptrdiff_t>(std::max(1, DtypeBits(point->dtype) / 8));
      Wrong(*point, fmt::format("is not 0 at element {}; only symmetric codes are read",
                                (odd - point->bytes.begin()) / width));
    }
    return true;
  }

  void CheckBiases(const LinearLayout& linear) {
    const bool present =
        std::any_of(linear.biases.begin(), linear.biases.end(), [this](const auto& bias) {
          return checkpoint_.Find(FullKey(prefix_, bias.key)) != nullptr;
        });
    if (linear.bias_optional && !present) return;
    for (const StoredTensor& bias : linear.biases) CheckFloat(bias.key, bias.shape);
  }

  const TensorView* Expect(const std::string& key) {
    const std::string full = FullKey(prefix_, key);
    const TensorView* tensor = checkpoint_.Find(full);
    if (!used_.insert(full).second) return tensor;
    if (tensor == nullptr) missing_.push_back(full);
    return tensor;
  }

  void Wrong(const TensorView& tensor, const std::string& how) {
    const std::string text = fmt::format("'{}' {}", tensor.name, how);
    if (std::find(wrong_.begin(), wrong_.end(), text) == wrong_.end()) wrong_.push_back(text);
  }

  const Checkpoint& checkpoint_;
  const std::string& prefix_;
  const QuantizationRecord& record_;
  std::set<std::string, std::less<>> used_;
  std::vector<std::string> missing_, wrong_;
  std::vector<std::string> dequantized_;  // canonical stems
  // Stored as codes which the config does not cover, and what it says of the first.
  std::vector<std::string> uncovered_;
  std::string why_uncovered_;
  bool quantized_ = false;
};

// The block that "encoder.layers.3.mlp..." belongs to, or -1.
int64_t BlockOf(std::string_view key, std::string_view block_stem) {
  if (!key.starts_with(block_stem)) return -1;
  key.remove_prefix(block_stem.size());
  int64_t block = -1;
  const auto [end, problem] = std::from_chars(key.data(), key.data() + key.size(), block);
  const bool number = problem == std::errc() && end != key.data() + key.size() && *end == '.';
  return number ? block : -1;
}

int64_t CountBlocks(const CheckpointLayout& layout) {
  int64_t blocks = 0;
  for (const LinearLayout& linear : layout.linears) {
    blocks = std::max(blocks, BlockOf(linear.weights.front().key, layout.block_stem) + 1);
  }
  return blocks;
}

// A scale of the cache of keys and values, which the decoder of a quantized model has; writers give
// every attention one.
bool IsCacheScale(std::string_view key) {
  return key.ends_with(".k_scale") || key.ends_with(".v_scale");
}

// Sorts the tensors that nobody asked for into harmless ones (a note) and those without which the
// tower would compute something else (an Error).
std::vector<std::string> JudgeUnused(const Checkpoint& checkpoint, const std::string& prefix,
                                     const CheckpointLayout& layout,
                                     const QuantizationRecord& record,
                                     const std::set<std::string, std::less<>>& used) {
  const int64_t blocks = CountBlocks(layout);
  std::vector<std::string> unused;
  for (const auto& [full, tensor] : checkpoint.tensors()) {
    if (!full.starts_with(prefix) || used.contains(full)) continue;
    const std::string_view key = std::string_view(full).substr(prefix.size());
    if (key.ends_with("position_ids")) continue;  // a buffer that older files still hold
    const int64_t block = BlockOf(key, layout.block_stem);
    const bool computes =
        (block >= 0 && block < blocks && !(record.present() && IsCacheScale(key))) ||
        std::any_of(layout.computing_stems.begin(), layout.computing_stems.end(),
                    [key](const std::string& stem) { return key.starts_with(stem); });
    if (computes) {
      Fail(
          "{}: tensor '{}' is part of the computation, but not of the family that config.json "
          "names; this variant is not supported.",
          checkpoint.folder().string(), full);
    }
    unused.push_back(full);
  }
  return unused;
}

// What stands beside a tower and would turn its output into another; with transformers' names.
constexpr const char* kHeads[] = {"classifier", "cls_classifier", "distillation_classifier",
                                  "visual_projection"};

// Heads beside the tower (one within it is among its unused tensors) that nobody asked for.
void NoteIdleHeads(const Checkpoint& checkpoint, const std::string& prefix, TowerReport* report) {
  for (const char* head : kHeads) {
    const std::string key = FullKey(prefix, fmt::format("{}{}.weight", kBesideTower, head));
    const TensorView* tensor = checkpoint.Find(key);
    if (tensor == nullptr || report->read.contains(key) || key.starts_with(prefix)) continue;
    report->notes.push_back(fmt::format(
        "the head '{}' {} is not run: 'architectures' in config.json names no class that runs it",
        key, tensor->ShapeText()));
  }
}

}  // namespace

std::string StemOfKey(const std::string& key) {
  constexpr std::string_view kEnding = ".weight";
  return key.ends_with(kEnding) ? key.substr(0, key.size() - kEnding.size()) : key;
}

bool MayBeCodes(const StoredTensor& part) {
  return part.key.ends_with(".weight") && !part.transposed && part.rows == part.shape.front();
}

TowerReport CheckTower(const Checkpoint& checkpoint, const std::string& prefix,
                       const CheckpointLayout& layout, const QuantizationRecord& record) {
  TowerChecker checker(checkpoint, prefix, record);
  for (const LinearLayout& linear : layout.linears) checker.CheckLinear(linear);
  for (const VectorLayout& vector : layout.vectors) {
    for (const StoredTensor& part : vector.tensors) checker.CheckFloat(part.key, part.shape);
  }
  checker.Finish();
  TowerReport report;
  report.quantized = checker.quantized();
  report.notes = checker.Notes();
  report.read = checker.used();
  NoteIdleHeads(checkpoint, prefix, &report);
  const std::vector<std::string> unused =
      JudgeUnused(checkpoint, prefix, layout, record, report.read);
  if (!unused.empty()) {
    report.notes.push_back(
        fmt::format("{} tensor(s) are not used: {}", unused.size(), FirstOf(unused)));
  }
  return report;
}

}  // namespace w8a8
