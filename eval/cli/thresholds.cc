#include "eval/cli/thresholds.h"

#include <cmath>
#include <vector>

#include <fmt/format.h>

#include "eval/cli/usage_error.h"
#include "eval/measure/task_accuracy.h"

namespace w8a8 {
namespace {

double Defined(double value, const std::string& figure, const std::string& arm, const char* flag) {
  if (std::isnan(value)) {
    Fail(
        "{}: the {} of {} is not defined (see the report for values that are not finite), so it "
        "cannot be judged.",
        flag, figure, arm);
  }
  return value;
}

double ValueOf(const std::optional<Estimate>& estimate, const char* figure, const std::string& arm,
               const char* flag) {
  return Defined(estimate ? estimate->value : kUndefined, figure, arm, flag);
}

std::string MissedSqnr(const Thresholds& thresholds, const Report& report, const ArmReport& arm) {
  constexpr const char* kFlag = "--min-sqnr-db";
  const std::string output = MainOutput(report);
  const auto errors = arm.outputs.find(output);
  const std::string figure = output + " SQNR";
  if (errors == arm.outputs.end()) Defined(kUndefined, figure, arm.name, kFlag);
  if (errors->second.exact) return "";
  const double value = Defined(errors->second.sqnr_db.value, figure, arm.name, kFlag);
  if (value >= *thresholds.min_sqnr_db) return "";
  return fmt::format("{} of {} is {:.4g} dB, asked for at least {:.4g} ({})", figure, arm.name,
                     value, *thresholds.min_sqnr_db, kFlag);
}

std::string MissedDrop(const Thresholds& thresholds, const Report& report, const ArmReport& arm) {
  constexpr const char* kFlag = "--max-drop";
  double reference = kUndefined;
  for (const ArmReport& other : report.arms) {
    if (other.precision == Precision::kFp16) {
      reference = ValueOf(other.top1, "top-1", other.name, kFlag);
    }
  }
  const double value = ValueOf(arm.top1, "top-1", arm.name, kFlag);
  const double drop = Defined(reference - value, "top-1 drop", arm.name, kFlag);
  if (drop <= *thresholds.max_drop) return "";
  return fmt::format("top-1 drop of {} is {:.4g} ({:.4g} to {:.4g}), asked for at most {:.4g} ({})",
                     arm.name, drop, reference, value, *thresholds.max_drop, kFlag);
}

std::string MissedAgreement(const Thresholds& thresholds, const ArmReport& arm) {
  constexpr const char* kFlag = "--min-agreement";
  const double value = ValueOf(arm.agreement, "agreement", arm.name, kFlag);
  if (value >= *thresholds.min_agreement) return "";
  return fmt::format("agreement of {} is {:.4g}, asked for at least {:.4g} ({})", arm.name, value,
                     *thresholds.min_agreement, kFlag);
}

}  // namespace

void CheckThresholds(const Thresholds& thresholds, const Task& task, const EncoderConfig& config) {
  const bool ranked = config.classes >= kMinClasses || task.classes;
  const char* asked = thresholds.min_agreement ? "--min-agreement" : "--max-drop";
  if ((thresholds.min_agreement || thresholds.max_drop) && !ranked) {
    FailUsage(
        "{}: {}, so there is no top-1; give --classes FILE with class embeddings, or judge by "
        "--min-sqnr-db.",
        asked,
        config.classes == 0 ? "this model has no classifier"
                            : "this model's head has one output, which ranks no classes");
  }
  if (thresholds.max_drop && task.accepted.empty()) {
    FailUsage(
        "--max-drop: the evaluation images have no labels; give --labels FILE or class "
        "sub-folders, or judge by --min-agreement.");
  }
}

std::string MissedThresholds(const Thresholds& thresholds, const Report& report) {
  if (thresholds == Thresholds()) return "";
  const std::optional<ArmRef> chosen = ChosenArm(report, Precision::kInt8);
  if (!chosen) Fail("no INT8 arm of this report is chosen: there is nothing to judge.");
  const ArmReport& arm = report[*chosen];
  std::vector<std::string> missed;
  if (thresholds.min_sqnr_db) missed.push_back(MissedSqnr(thresholds, report, arm));
  if (thresholds.max_drop) missed.push_back(MissedDrop(thresholds, report, arm));
  if (thresholds.min_agreement) missed.push_back(MissedAgreement(thresholds, arm));
  std::string line;
  for (const std::string& text : missed) {
    if (!text.empty()) line += (line.empty() ? "below threshold: " : "; ") + text;
  }
  return line;
}

}  // namespace w8a8
