// The four files of a report in the output folder.
#pragma once

#include <filesystem>

#include "reports/report.h"

namespace w8a8 {

// report.json, run.json, report.h5 and report.html, each whole or not at all. `folder` exists.
void WriteReportFiles(const std::filesystem::path& folder, const Report& report,
                      const RunInfo& run);

}  // namespace w8a8
