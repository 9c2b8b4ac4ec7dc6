// The end of a run on a terminal: what a reader wants to know, in at most 24 lines of 80 columns.
#pragma once

#include <filesystem>
#include <string>

#include "reports/report.h"

namespace w8a8 {

// Where a run that writes weights puts them in its output folder; facts.weights names it.
constexpr const char* kQuantizedFolder = "quantized";

// Only a line with a path can be longer; what the verdict's notes say comes on top, and so does
// each scheme that was asked for.
std::string SummaryText(const Report& report, const RunInfo& run,
                        const std::filesystem::path& folder);

// The same as one JSON object: arms and sites have the members of report.json.
std::string SummaryJson(const Report& report, const RunInfo& run,
                        const std::filesystem::path& folder);

}  // namespace w8a8
