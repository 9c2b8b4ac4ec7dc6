#include "runtime/encoder/tower_check.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

#include "runtime/base/error.h"
#include "runtime/base/names.h"
#include "runtime/encoder/foreign_storage.h"
#include "runtime/encoder/tower_findings.h"

namespace w8a8 {
namespace {

class TowerChecker {
 public:
  TowerChecker(const Checkpoint& checkpoint, const std::string& prefix,
               const QuantizationRecord& record)
      : checkpoint_(checkpoint), record_(record), findings_(checkpoint, prefix) {}

  void CheckLinear(const LinearLayout& linear) {
    for (const StoredTensor& weight : linear.weights) RefuseForeign(weight);
    const bool codes = std::ranges::any_of(linear.weights, [this](const StoredTensor& weight) {
      return IsStoredAsCodes(weight, findings_);
    });
    if (codes && linear.site) quantized_ = true;
    if (codes && !linear.site && !linear.unread) dequantized_.push_back(linear.stem);
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
    findings_.CheckFloat(key, shape);
  }

  // Throws Error for all that was found.
  TowerReport Finish() {
    findings_.ThrowIfAny();
    return {.quantized = quantized_,
            .notes = Notes(),
            .read = findings_.used(),
            .modules = std::move(modules_)};
  }

 private:
  std::vector<std::string> Notes() const {
    std::vector<std::string> notes;
    if (!dequantized_.empty()) {
      notes.push_back(fmt::format(
          "{} layer(s) outside the blocks are stored {} and run dequantized: {}",
          dequantized_.size(), eight_bits_ ? "in INT8" : "as codes", FirstOf(dequantized_)));
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

  void RefuseForeign(const StoredTensor& weight) const {
    if (!MayBeCodes(weight)) return;
    const auto foreign = FindForeignStorage(checkpoint_, findings_.FullName(StemOfKey(weight.key)));
    if (foreign) RefuseStorage(checkpoint_, *foreign, record_.Describe());
  }

  void CheckCodes(const StoredTensor& weight) {
    StoredModule module = CheckStoredModule(weight, record_, findings_);
    if (module.codes == nullptr) return;
    eight_bits_ = eight_bits_ && module.scheme.weight.num_bits == 8;
    if (!module.packed) NoteUncovered(weight, module);
    modules_.emplace(weight.key, std::move(module));
  }

  void NoteUncovered(const StoredTensor& weight, const StoredModule& module) {
    const std::string why = record_.WhyUncovered({.module = module.name,
                                                  .tensor = module.codes->name,
                                                  .convolution = weight.shape.size() > 2});
    if (why.empty()) return;
    if (uncovered_.empty()) why_uncovered_ = why;
    uncovered_.push_back(module.name);
  }

  void CheckBiases(const LinearLayout& linear) {
    const bool present = std::ranges::any_of(linear.biases, [this](const StoredTensor& bias) {
      return findings_.Find(bias.key) != nullptr;
    });
    if (linear.bias_optional && !present) return;
    for (const StoredTensor& bias : linear.biases) CheckFloat(bias.key, bias.shape);
  }

  const Checkpoint& checkpoint_;
  const QuantizationRecord& record_;
  TowerFindings findings_;
  std::map<std::string, StoredModule> modules_;
  std::vector<std::string> dequantized_;  // canonical stems
  // Stored as codes which the config does not cover, and what it says of the first.
  std::vector<std::string> uncovered_;
  std::string why_uncovered_;
  bool quantized_ = false;
  bool eight_bits_ = true;  // all codes so far
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

TowerReport CheckTower(const Checkpoint& checkpoint, const std::string& prefix,
                       const CheckpointLayout& layout, const QuantizationRecord& record) {
  TowerChecker checker(checkpoint, prefix, record);
  for (const LinearLayout& linear : layout.linears) checker.CheckLinear(linear);
  for (const VectorLayout& vector : layout.vectors) {
    for (const StoredTensor& part : vector.tensors) checker.CheckFloat(part.key, part.shape);
  }
  TowerReport report = checker.Finish();
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
