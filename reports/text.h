// Numbers and names as a reader sees them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "reports/estimate.h"
#include "runtime/base/utf8.h"

namespace w8a8 {

// ValidUtf8() with the five characters that mean something to HTML and XML escaped.
std::string EscapeMarkup(std::string_view text);

// A name may hold '/' in JSON, but not in HDF5: it becomes '_'.
std::string Hdf5ObjectName(std::string_view name);

// A dash where there is no number.
std::string FormatDb(double value);        // "27.61"
std::string FormatFraction(double value);  // 4 digits after the point: "0.9989"
std::string FormatShare(double value);     // a fraction as percent: "97.3"
std::string FormatShort(double value);     // 3 significant digits: "0.0312", "1.2e-05"
std::string FormatCount(uint64_t value);   // "1,234,567"
std::string FormatBytes(uint64_t value);   // "5.5 MiB"

// "27.61 [26.9, 28.2]" with either of the formats above; without the interval if it has none.
std::string FormatEstimate(const Estimate& estimate, std::string (*format)(double));

}  // namespace w8a8
