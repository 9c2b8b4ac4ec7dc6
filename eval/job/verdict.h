// Can the chosen INT8 arm ship?
#pragma once

#include <cstdint>
#include <string>

#include "reports/report.h"

namespace w8a8 {

struct VerdictThresholds {
  double min_agreement = 0.98;  // lower bound of the same top-1 as the reference
  double min_cosine_p1 = 0.99;  // 1st percentile of the feature cosine, without logits
};

// The images that were judged.
struct Judged {
  uint64_t images = 0;
  uint64_t different = 0;  // to the encoder: a copy tells nothing new
  uint64_t ranked = 0;     // of these, that the reference ranks classes for: agreement is over them
  uint64_t nonfinite = 0;  // on which the reference's outputs are not finite
  std::string on;          // ends the sentence: "judged on the images given"
};

// On fewer different images no interval means anything.
constexpr uint64_t kMinJudgedImages = 16;

// `yes` when the lower bound of the arm's agreement reaches the threshold (where there are classes
// to rank: a classifier of two or more, or class embeddings; labels are not needed), else when the
// 1st percentile of the feature cosine does; `no` when the upper bound fails; otherwise, and always
// on fewer than kMinJudgedImages different images (where agreement judges, that are ranked),
// `undecided: more images`. Outputs that are not finite are `no` at once, the reference's (nothing
// can be compared with it) and the arm's. The arm is for the caller to name. Below 100 images the
// 1st percentile is all but the worst image; the sentence then says on how many images it stands.
Verdict JudgeArm(const ArmReport& arm, const VerdictThresholds& thresholds, const Judged& judged);

// `no`, because of what MissedThresholds names: a run that fails a gate does not say "ship it".
void Overrule(const std::string& missed, Verdict& verdict);

}  // namespace w8a8
