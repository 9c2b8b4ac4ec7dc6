// --min-sqnr-db, --max-drop and --min-agreement: a run that fails when INT8 is not good enough.
#pragma once

#include <optional>
#include <string>

#include "eval/measure/task.h"
#include "reports/report.h"
#include "runtime/encoder/config.h"

namespace w8a8 {

struct Thresholds {
  std::optional<double> min_sqnr_db;    // of the main output
  std::optional<double> max_drop;       // of top-1 against fp16, 0 to 1
  std::optional<double> min_agreement;  // with fp16's top-1, 0 to 1
  bool operator==(const Thresholds&) const = default;
};

// Before any work: throws UsageError for a threshold on a figure that this run cannot have
// (agreement without two classes to rank, a drop without labels).
void CheckThresholds(const Thresholds& thresholds, const Task& task, const EncoderConfig& config);

// One line that names figure, threshold and arm of everything that the chosen INT8 arm misses;
// empty if it reaches all. Measured values are compared, not the bounds of their intervals; SQNR is
// that of the main output (logits, else image_embeds, else pooled, else tokens), and an exact one
// passes. Throws Error for a figure that is not a number.
std::string MissedThresholds(const Thresholds& thresholds, const Report& report);

}  // namespace w8a8
