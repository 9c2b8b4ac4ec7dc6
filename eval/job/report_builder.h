// What a run found out, as one Report.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "calib/make_plan.h"
#include "eval/job/report_experts.h"
#include "eval/job/session.h"
#include "eval/job/verdict.h"
#include "eval/measure/evaluate.h"
#include "reports/report.h"

namespace w8a8 {

// What the report says about where its numbers come from.
struct ReportContext {
  std::string model_name;
  std::string preprocessing;  // one line
  std::string preprocessing_sha256;
  uint64_t calibration_images = 0;
  uint64_t evaluation_images = 0;  // read, not listed
  uint64_t different_images = 0;   // of them, in what the encoder sees
  InputsOfImages inputs;           // of the images read
  std::string image_set_sha256;    // of calibration and evaluation images together
  std::string evaluated_on;        // "judged on 220 images that took no part in calibration"
  std::string plan_sha256;
  AttentionPrecision attention = AttentionPrecision::kFp32;  // of the quantized arms
  VerdictThresholds thresholds;
  uint64_t seed = 0;
  std::vector<SkippedFile> skipped;
  std::vector<SiteChoice> choices;  // of a per-tensor plan; empty for the default plan
  RowsBySite calibrated;            // empty without calibration
  uint64_t min_expert_tokens = 1;   // experts that got fewer are named
  std::vector<HealthNote> health;
  std::vector<std::string> notes;  // of the verdict, those that the images and their labels give
};

Report BuildReport(const Session& session, const Evaluation& evaluation, const Plan& plan,
                   const ReportContext& context);

// Bytes that the weight matrices take: FP16, with the weights that `plan` quantizes as codes and
// zero points of their bits, without gaps, and binary32 scales.
uint64_t WeightBytes(const Graph& graph, const Plan& plan);

}  // namespace w8a8
