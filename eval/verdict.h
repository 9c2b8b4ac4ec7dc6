// Can the chosen INT8 arm ship?
#pragma once

#include <string>

#include "reports/report.h"

namespace w8a8 {

struct VerdictThresholds {
  double min_agreement = 0.98;  // lower bound of the same top-1 as the reference
  double min_cosine_p1 = 0.99;  // 1st percentile of the feature cosine, without logits
};

// `yes` when the lower bound of the arm's agreement reaches the threshold (where there are
// labels and logits, or class embeddings), else when the 1st percentile of the feature cosine does;
// `no` when the upper bound fails; otherwise `undecided: more images`. `evaluated_on` ends the
// sentence: which images were judged.
Verdict JudgeArm(const ArmReport& arm, bool has_labels, const VerdictThresholds& thresholds,
                 const std::string& evaluated_on);

}  // namespace w8a8
