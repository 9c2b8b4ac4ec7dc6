#include "eval/job/verdict.h"

#include <cmath>

#include <fmt/format.h>

namespace w8a8 {
namespace {

Ship Decide(const Estimate& estimate, double threshold) {
  if (estimate.low >= threshold) return Ship::kYes;
  return estimate.high < threshold ? Ship::kNo : Ship::kUndecided;
}

// The feature that a user of the encoder consumes: the embedding where the model projects its
// pooled output, else that output, else the tokens.
const OutputErrors* Feature(const ArmReport& arm, std::string& name) {
  for (const char* candidate : {"image_embeds", "pooled", "tokens"}) {
    const auto found = arm.outputs.find(candidate);
    if (found == arm.outputs.end()) continue;
    name = candidate;
    return &found->second;
  }
  return nullptr;
}

const char* ShipText(Ship ship) {
  if (ship == Ship::kYes) return "INT8 can ship";
  return ship == Ship::kNo ? "INT8 should not ship as it is" : "undecided: more images";
}

std::string FewImages(uint64_t images) {
  constexpr uint64_t kPercentileNeeds = 100;
  if (images >= kPercentileNeeds) return "";
  return fmt::format(", as far as {} image{} can tell: use {} or more", images,
                     images == 1 ? "" : "s", kPercentileNeeds);
}

}  // namespace

Verdict JudgeArm(const ArmReport& arm, const VerdictThresholds& thresholds, const Judged& judged) {
  Verdict verdict;
  if (arm.agreement) {
    verdict.ship = Decide(*arm.agreement, thresholds.min_agreement);
    verdict.text = fmt::format(
        "{}: {} has the reference's top-1 on {:.1f} % of the images (95 % interval {:.1f} to "
        "{:.1f}; needed: at least {:.1f}), {}.",
        ShipText(verdict.ship), arm.name, 100 * arm.agreement->value, 100 * arm.agreement->low,
        100 * arm.agreement->high, 100 * thresholds.min_agreement, judged.on);
    return verdict;
  }
  std::string name;
  const OutputErrors* feature = Feature(arm, name);
  if (feature == nullptr || std::isnan(feature->cosine_p1.value)) {
    verdict.text = fmt::format("{}: no image could be compared.", ShipText(verdict.ship));
    return verdict;
  }
  verdict.ship = Decide(feature->cosine_p1, thresholds.min_cosine_p1);
  verdict.text = fmt::format(
      "{}: the {} feature of {} has a cosine of {:.4f} with the reference at the 1st percentile of "
      "the images (95 % interval {:.4f} to {:.4f}; needed: at least {:.2f}){}, {}.",
      ShipText(verdict.ship), name, arm.name, feature->cosine_p1.value, feature->cosine_p1.low,
      feature->cosine_p1.high, thresholds.min_cosine_p1, FewImages(judged.images), judged.on);
  return verdict;
}

void Overrule(const std::string& missed, Verdict& verdict) {
  verdict.ship = Ship::kNo;
  verdict.text = fmt::format("{}, {}.", ShipText(verdict.ship), missed);
}

}  // namespace w8a8
