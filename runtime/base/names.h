// Names of sites, tensors and flags in messages and lists.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace w8a8 {

// Up to three of `choices`, of least edit distance to `name` first (insert, delete, replace, swap
// neighbours: 1 each; of equal ones the first): those no further than a third of its letters.
std::vector<std::string> CloseNames(std::string_view name, const std::vector<std::string>& choices);

// " Did you mean 'x'?" with the first of them, or "" where there is none.
std::string DidYouMean(std::string_view name, const std::vector<std::string>& choices);

// "a, b, c": the first eight of them, then "and 40 more".
std::string FirstOf(const std::vector<std::string>& names);

// Orders as people count: runs of digits by their value, so that blocks.2 comes before blocks.10.
bool CountsBefore(std::string_view a, std::string_view b);

}  // namespace w8a8
