// report.html: one self-contained page, made from report.mustache. It fetches nothing.
#pragma once

#include <string>

#include "reports/report.h"

namespace w8a8 {

// Everything that depends on `run` stands between the lines kRunSectionBegin and kRunSectionEnd;
// the rest is equal in every byte for equal reports. All text is escaped.
std::string ReportHtml(const Report& report, const RunInfo& run);

constexpr const char* kRunSectionBegin = "<!-- begin: depends on the run -->";
constexpr const char* kRunSectionEnd = "<!-- end: depends on the run -->";

}  // namespace w8a8
