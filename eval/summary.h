// The end of a run on a terminal: what a reader wants to know, in at most 24 lines of 80 columns.
#pragma once

#include <filesystem>
#include <string>

#include "reports/report.h"

namespace w8a8 {

std::string SummaryText(const Report& report, const RunInfo& run,
                        const std::filesystem::path& folder);

}  // namespace w8a8
