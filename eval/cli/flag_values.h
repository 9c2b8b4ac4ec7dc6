// Values of flags: text to number or name, each refused with the flag, the value and what it takes.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "calib/scheme.h"
#include "quant/spec.h"

namespace w8a8 {

// A decimal, rounded once to binary32. Throws UsageError naming `flag`.
float ParseFloat(std::string_view flag, const std::string& text);
// A finite decimal, rounded once to binary64.
double ParseNumber(std::string_view flag, const std::string& text);
// In [0, 1].
double ParseFraction(std::string_view flag, const std::string& text);
// > 0; "inf" means no clip.
float ParseClipRange(std::string_view flag, const std::string& text);
int64_t ParseCount(std::string_view flag, const std::string& text, int64_t least,
                   int64_t most = std::numeric_limits<int64_t>::max());
// "512MiB", "2GiB", "2G", or bytes.
uint64_t ParseSize(std::string_view flag, const std::string& text);
Granularity ParseGranularity(std::string_view flag, const std::string& text);
FakeFlavour ParseFakeFlavour(std::string_view flag, const std::string& text);
WeightConvention ParseWeightConvention(std::string_view flag, const std::string& text);
Scheme ParseSchemeOf(std::string_view flag, const std::string& text);
// Names of schemes, each once however it is spelt.
std::vector<Scheme> ParseSchemes(std::string_view flag, const std::string& text);
Precision ParsePrecision(std::string_view flag, const std::string& text);
AttentionPrecision ParseAttention(std::string_view flag, const std::string& text);
// Comma-separated, no empty parts, no duplicates.
std::vector<std::string> ParseList(std::string_view flag, const std::string& text);
// Throws UsageError unless `text` is one of `allowed`.
void RequireOneOf(std::string_view flag, const std::string& text,
                  std::initializer_list<std::string_view> allowed);

}  // namespace w8a8
