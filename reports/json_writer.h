// report.json and run.json. Equal values give equal bytes: keys in a fixed order, numbers in the
// shortest form that reads back to the same binary64. NaN and infinity become null.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "reports/report.h"

namespace w8a8 {

constexpr const char* kReportSchema = "w8a8-report/1";

// Everything of the report.
nlohmann::ordered_json ReportToJson(const Report& report);
nlohmann::ordered_json RunToJson(const RunInfo& run);

// The texts of the two files.
std::string ReportJsonText(const Report& report);
std::string RunJsonText(const RunInfo& run);

}  // namespace w8a8
