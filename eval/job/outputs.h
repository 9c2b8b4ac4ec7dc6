// What the whole job leaves in its folder beside the statistics and the report.
#pragma once

#include <filesystem>
#include <optional>

#include "eval/export/exported_scope.h"
#include "eval/job/progress.h"
#include "eval/job/session.h"
#include "quant/spec.h"
#include "reports/report.h"

namespace w8a8 {

// Writes `plan` to folder/plan.json. Another one that stands there may have been written by hand:
// unless it is the file `given` it is kept under another name, which is returned.
std::optional<std::filesystem::path> WriteChosenPlan(const Session& session, const Plan& plan,
                                                     const std::filesystem::path& folder,
                                                     const std::filesystem::path& given);

// Writes folder/quantized of the plan; the report says where, and what the exporter warns of. Where
// the whole of the model cannot be written it is the tower alone; the report says why, and so does
// stderr where `lines` are shown.
void WriteQuantized(const Session& session, const Plan& plan, const std::filesystem::path& folder,
                    ExportScope scope, ProgressLines lines, Report& report);

}  // namespace w8a8
