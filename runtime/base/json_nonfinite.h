// NaN, Infinity and -Infinity: JSON has none of them, but Python's json writes them and reads them,
// so they stand in configs that transformers opens. A parser sees them as marked strings.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace w8a8 {

// Whether one of the three stands in `text` outside its strings.
bool HasNonFinite(std::string_view text);

// `text` with each of them as a marked string, which a JSON parser takes; and the other way round.
std::string MarkNonFinite(std::string_view text);
std::string UnmarkNonFinite(std::string_view text);

// The string that stands for `value`, which is not finite; and the value that a string stands for.
std::string NonFiniteMark(double value);
std::optional<double> ValueOfMark(std::string_view mark);

}  // namespace w8a8
