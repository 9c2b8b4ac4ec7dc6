#include "eval/job/verdict.h"

#include <cmath>

#include <fmt/format.h>

namespace w8a8 {
namespace {

// `images`: different ones, that the estimate is over.
Ship Decide(const Estimate& estimate, double threshold, uint64_t images) {
  if (images < kMinJudgedImages) return Ship::kUndecided;
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

// "8 images" or "7 different images that the reference ranks": those that a figure is over.
std::string ImagesText(const Judged& judged, uint64_t images) {
  return fmt::format("{} {}image{}{}", images, judged.different < judged.images ? "different " : "",
                     images == 1 ? "" : "s",
                     images < judged.different ? " that the reference ranks" : "");
}

// ", as far as 8 images can tell: use 100 or more" for fewer than `needed`.
std::string FewImages(const Judged& judged, uint64_t images, uint64_t needed) {
  if (images >= needed) return "";
  return fmt::format(", as far as {} can tell: use {} or more", ImagesText(judged, images), needed);
}

// Why nothing can be compared; empty: it can.
std::string NotFinite(const ArmReport& arm, const Judged& judged) {
  if (judged.nonfinite > 0) {
    return fmt::format(
        "the FP16 reference is not finite on {} of {} images, so there is nothing to compare with; "
        "more images would not help",
        judged.nonfinite, judged.images);
  }
  for (const auto& [output, errors] : arm.outputs) {
    if (errors.nonfinite == 0) continue;
    return fmt::format("{} values of the {} output of {} are not finite, where the reference's are",
                       errors.nonfinite, output, arm.name);
  }
  return "";
}

}  // namespace

Verdict JudgeArm(const ArmReport& arm, const VerdictThresholds& thresholds, const Judged& judged) {
  Verdict verdict;
  if (const std::string reason = NotFinite(arm, judged); !reason.empty()) {
    verdict.ship = Ship::kNo;
    verdict.text = fmt::format("{}: {}, {}.", ShipText(verdict.ship), reason, judged.on);
    return verdict;
  }
  if (arm.agreement) {
    verdict.ship = Decide(*arm.agreement, thresholds.min_agreement, judged.ranked);
    verdict.text = fmt::format(
        "{}: {} has the reference's top-1 on {:.1f} % of the {} (95 % interval {:.1f} to {:.1f}; "
        "needed: at least {:.1f}){}, {}.",
        ShipText(verdict.ship), arm.name, 100 * arm.agreement->value,
        judged.ranked == judged.images ? "images" : ImagesText(judged, judged.ranked),
        100 * arm.agreement->low, 100 * arm.agreement->high, 100 * thresholds.min_agreement,
        FewImages(judged, judged.ranked, kMinJudgedImages), judged.on);
    return verdict;
  }
  std::string name;
  const OutputErrors* feature = Feature(arm, name);
  if (feature == nullptr || std::isnan(feature->cosine_p1.value)) {
    verdict.text = fmt::format("{}: no image could be compared.", ShipText(verdict.ship));
    return verdict;
  }
  constexpr uint64_t kPercentileNeeds = 100;
  verdict.ship = Decide(feature->cosine_p1, thresholds.min_cosine_p1, judged.different);
  verdict.text = fmt::format(
      "{}: the {} feature of {} has a cosine of {:.4f} with the reference at the 1st percentile of "
      "the images (95 % interval {:.4f} to {:.4f}; needed: at least {:.2f}){}, {}.",
      ShipText(verdict.ship), name, arm.name, feature->cosine_p1.value, feature->cosine_p1.low,
      feature->cosine_p1.high, thresholds.min_cosine_p1,
      FewImages(judged, judged.different, kPercentileNeeds), judged.on);
  return verdict;
}

void Overrule(const std::string& missed, Verdict& verdict) {
  verdict.ship = Ship::kNo;
  verdict.text = fmt::format("{}, {}.", ShipText(verdict.ship), missed);
}

}  // namespace w8a8
