#include "runtime/encoder/expert_tensors.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include <fmt/ranges.h>

#include "runtime/base/error.h"
#include "runtime/encoder/family_keys.h"

namespace w8a8 {
namespace {

constexpr std::string_view kExperts = "experts.";
constexpr const char* kStems[] = {"mlp.", "block_sparse_moe."};

// Calls `visit` with each tensor whose key begins with `start`, and the rest of the key.
void ForEachBehind(const Checkpoint& checkpoint, const std::string& start,
                   const std::function<void(const TensorView&, std::string_view)>& visit) {
  const auto& tensors = checkpoint.tensors();
  for (auto entry = tensors.lower_bound(start);
       entry != tensors.end() && entry->first.starts_with(start); ++entry) {
    visit(entry->second, std::string_view(entry->first).substr(start.size()));
  }
}

// "3.fc1.weight" gives 3 and "fc1.weight"; keys that begin with no number, -1 and all of it.
struct NumberedName {
  int64_t number = -1;
  std::string_view name;
};
NumberedName SplitNumber(std::string_view key) {
  NumberedName split{.name = key};
  const char* end = key.data() + key.size();
  int64_t number = -1;
  const auto [rest, problem] = std::from_chars(key.data(), end, number);
  if (problem != std::errc() || rest == end || *rest != '.') return split;
  return {number, key.substr(static_cast<size_t>(rest - key.data()) + 1)};
}

bool IsNamed(const ExpertKeys& keys, const NumberedName& tensor, std::string_view name) {
  if (keys.stacked) return tensor.number < 0 && tensor.name == name;
  return tensor.number >= 0 && tensor.name.starts_with(name) &&
         tensor.name.substr(name.size()).starts_with('.');
}

bool IsInFc1(const ExpertKeys& keys, const NumberedName& tensor) {
  return std::ranges::any_of(keys.fc1, [&](const auto& n) { return IsNamed(keys, tensor, n); }) ||
         (keys.stacked && IsNamed(keys, tensor, keys.fc1_bias));
}

bool IsInFc2(const ExpertKeys& keys, const NumberedName& tensor) {
  return IsNamed(keys, tensor, keys.fc2) || (keys.stacked && IsNamed(keys, tensor, keys.fc2_bias));
}

std::string NamesOf(const ExpertKeys& keys) {
  return fmt::format("{} and {}", fmt::join(keys.fc1, ", "), keys.fc2);
}

// The experts of a tower, tensor by tensor.
class ExpertFinder {
 public:
  ExpertFinder(const Checkpoint& checkpoint, MixtureConfig* mixture, int64_t width)
      : checkpoint_(checkpoint), mixture_(mixture), width_(width) {}

  void Take(const std::string& block) {
    for (const char* stem : kStems) {
      ForEachBehind(checkpoint_, block + stem + std::string(kExperts),
                    [&](const TensorView& tensor, std::string_view key) {
                      TakeTensor(tensor, SplitNumber(key), block, stem);
                    });
    }
  }

  void Finish() {
    if (keys_ == nullptr && unknown_ != nullptr) {
      std::vector<std::string> known;
      for (const ExpertKeys& keys : AllExpertKeys()) {
        if (!keys.transposed) known.push_back(NamesOf(keys));
      }
      Fail("{}: tensor '{}' belongs to experts under names that are not read; those are: {}.",
           checkpoint_.folder().string(), unknown_->name, fmt::join(known, "; "));
    }
    if (keys_ == nullptr) return;
    mixture_->spelling = keys_->spelling;
    mixture_->gated = keys_->gated();
    if (!mixture_->gated) return;  // plain experts have biases
    mixture_->fc1_bias = fc1_bias_;
    mixture_->fc2_bias = fc2_bias_;
    if (keys_->spelling == "fused" && LiesTransposed()) {
      mixture_->spelling = std::next(keys_)->spelling;
    }
  }

 private:
  void TakeTensor(const TensorView& tensor, const NumberedName& name, const std::string& block,
                  const std::string& stem) {
    const ExpertKeys* keys = KeysFor(name);
    if (keys == nullptr) {
      if (unknown_ == nullptr) unknown_ = &tensor;
      return;
    }
    if (keys_ == nullptr) {
      keys_ = keys;
      first_ = &tensor;
      first_block_ = block;
      mixture_->stem = stem;
    } else if (keys != keys_ || stem != mixture_->stem) {
      Fail("{}: experts are named in two ways, '{}' and '{}'; one of them is expected.",
           checkpoint_.folder().string(), first_->name, tensor.name);
    }
    const bool bias = name.name.ends_with("bias");
    fc1_bias_ = fc1_bias_ || (bias && IsInFc1(*keys, name));
    fc2_bias_ = fc2_bias_ || (bias && IsInFc2(*keys, name));
  }

  static const ExpertKeys* KeysFor(const NumberedName& name) {
    const auto& all = AllExpertKeys();
    const auto found = std::ranges::find_if(
        all, [&](const ExpertKeys& keys) { return IsInFc1(keys, name) || IsInFc2(keys, name); });
    return found == all.end() ? nullptr : &*found;
  }

  // D = 2I and D = I cannot both hold, so that one of the two tensors always tells.
  bool LiesTransposed() const {
    const std::string stem = first_block_ + mixture_->stem + std::string(kExperts);
    const TensorView* fc1 = checkpoint_.Find(stem + keys_->fc1.front());
    const TensorView* fc2 = checkpoint_.Find(stem + keys_->fc2);
    if (fc1 == nullptr || fc2 == nullptr) return false;
    using Shape = std::vector<int64_t>;
    const int64_t experts = mixture_->experts, hidden = mixture_->width;
    const Shape up = {experts, 2 * hidden, width_}, down = {experts, width_, hidden};
    const Shape up_turned = {experts, width_, 2 * hidden}, down_turned = {experts, hidden, width_};
    if (fc1->shape == up && fc2->shape == down) return false;
    if (fc1->shape == up_turned && fc2->shape == down_turned) return true;
    Fail(
        "{}: '{}' has shape {} and '{}' {}; expected [{}] with [{}], or, as y = x W, [{}] with "
        "[{}].",
        checkpoint_.folder().string(), fc1->name, fc1->ShapeText(), fc2->name, fc2->ShapeText(),
        fmt::join(up, ", "), fmt::join(down, ", "), fmt::join(up_turned, ", "),
        fmt::join(down_turned, ", "));
  }

  const Checkpoint& checkpoint_;
  MixtureConfig* mixture_;
  const int64_t width_;
  const ExpertKeys* keys_ = nullptr;
  const TensorView* first_ = nullptr;
  const TensorView* unknown_ = nullptr;
  std::string first_block_;
  bool fc1_bias_ = false, fc2_bias_ = false;
};

// What stands behind "experts." in a key of a block, if that is in it.
std::optional<std::string_view> BehindExperts(std::string_view key) {
  for (size_t at = key.find(kExperts); at != key.npos; at = key.find(kExperts, at + 1)) {
    if (at == 0 || key[at - 1] == '.') return key.substr(at + kExperts.size());
  }
  return std::nullopt;
}

// Why a block without experts does not go with this key; "": it does.
std::string WhyNotDense(std::string_view key) {
  if (!BehindExperts(key)) return "";
  return "belongs to an expert, but by config.json its block has none: neither 'num_experts' and "
         "the fields beside it (of SigLIP, CLIP, ViT, DeiT and DINOv2) nor CuMo's 'clip_smoe' give "
         "it any";
}

// The same for a block with experts.
std::string WhyNotOfMixture(std::string_view key, const MixtureConfig& mixture,
                            const FamilyKeys& keys) {
  for (const std::string& dense : {keys.fc1, keys.fc2}) {
    if (key.starts_with(dense + ".")) {
      return fmt::format("is of a dense MLP, but by config.json its block has {} experts",
                         mixture.experts);
    }
  }
  if (key.find("e_score_correction_bias") != key.npos || key == mixture.stem + "gate.bias") {
    return "is of a router with a bias, which is not supported";
  }
  if (key.starts_with(mixture.stem + "shared_experts.")) {
    return "is of shared experts that no public code describes; Qwen2's 'shared_expert' is read";
  }
  if (mixture.shared_width == 0 && key.starts_with(mixture.stem + "shared_expert")) {
    return "is of a shared expert, but config.json states no 'shared_expert_intermediate_size'";
  }
  const std::optional<std::string_view> expert = BehindExperts(key);
  const int64_t number = expert ? SplitNumber(*expert).number : -1;
  if (number < mixture.experts) return "";
  return fmt::format("belongs to expert {}, but by config.json there are 0 to {}", number,
                     mixture.experts - 1);
}

}  // namespace

void FindExperts(const Checkpoint& checkpoint, const std::string& prefix, EncoderConfig* config) {
  // CuMo's have one spelling.
  if (config->mixture.experts == 0 || config->mixture.stem.empty()) return;
  const FamilyKeys keys = KeysOf(*config);
  const std::string anchor = keys.patch_embed + ".weight";
  if (!checkpoint.HasTower(anchor, prefix)) return;
  const std::string tower = checkpoint.FindTower(anchor, prefix);
  ExpertFinder finder(checkpoint, &config->mixture, config->width);
  for (int64_t block = 0; block < config->blocks; ++block) {
    if (!config->mixture.in(block)) continue;
    finder.Take(fmt::format("{}{}{}.", tower, keys.block, block));
  }
  finder.Finish();
}

void RefuseOtherExperts(const Checkpoint& checkpoint, const std::string& prefix,
                        const EncoderConfig& config) {
  const FamilyKeys keys = KeysOf(config);
  for (int64_t block = 0; block < config.blocks + config.unread_blocks; ++block) {
    const bool mixed = config.mixture.in(block);
    ForEachBehind(checkpoint, fmt::format("{}{}{}.", prefix, keys.block, block),
                  [&](const TensorView& tensor, std::string_view key) {
                    const std::string why =
                        mixed ? WhyNotOfMixture(key, config.mixture, keys) : WhyNotDense(key);
                    if (why.empty()) return;
                    Fail("{}: tensor '{}' {}.", checkpoint.folder().string(), tensor.name, why);
                  });
  }
}

}  // namespace w8a8
