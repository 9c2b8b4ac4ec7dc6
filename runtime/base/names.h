// Names of sites, tensors and flags in messages and lists.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace w8a8 {

// " Did you mean 'x'?" with the choice of least edit distance to `name` (insert, delete, replace,
// swap neighbours: 1 each; the first of several), or "" if all are further than a third of its
// letters.
std::string DidYouMean(std::string_view name, const std::vector<std::string>& choices);

// "a, b, c": the first eight of them, then "and 40 more".
std::string FirstOf(const std::vector<std::string>& names);

// Orders as people count: runs of digits by their value, so that blocks.2 comes before blocks.10.
bool CountsBefore(std::string_view a, std::string_view b);

}  // namespace w8a8
