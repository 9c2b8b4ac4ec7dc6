// report.json and run.json back into the values they were written from. What the writer made is
// read to the last bit: written again, it gives the same bytes. Any other JSON, and a value of the
// wrong kind, throws Error with the file and the path of the member.
#pragma once

#include <filesystem>

#include "reports/report.h"

namespace w8a8 {

Report ReadReportJson(const std::filesystem::path& path);
RunInfo ReadRunJson(const std::filesystem::path& path);

}  // namespace w8a8
