#include "runtime/base/names.h"

#include <algorithm>
#include <span>
#include <utility>

#include <fmt/ranges.h>

namespace w8a8 {
namespace {

// Optimal string alignment distance.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> cost(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) {
    for (size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        cost[i][j] = i + j;
        continue;
      }
      const size_t replaced = cost[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      cost[i][j] = std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, replaced});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
    }
  }
  return cost[a.size()][b.size()];
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Cuts the digits, or the characters up to the next digit, off the front of `text`; digits without
// leading zeros.
std::string_view TakeRun(std::string_view& text) {
  const bool digits = IsDigit(text.front());
  size_t length = 1;
  while (length < text.size() && IsDigit(text[length]) == digits) ++length;
  std::string_view run = text.substr(0, length);
  text.remove_prefix(length);
  while (digits && run.size() > 1 && run.front() == '0') run.remove_prefix(1);
  return run;
}

}  // namespace

std::vector<std::string> CloseNames(std::string_view name,
                                    const std::vector<std::string>& choices) {
  std::vector<std::pair<size_t, std::string>> close;
  for (const std::string& choice : choices) {
    const size_t distance = EditDistance(name, choice);
    if (3 * distance <= name.size()) close.emplace_back(distance, choice);
  }
  std::ranges::stable_sort(close, {}, [](const auto& c) { return c.first; });
  close.resize(std::min(close.size(), size_t{3}));
  std::vector<std::string> names;
  for (const auto& [distance, choice] : close) names.push_back(choice);
  return names;
}

std::string DidYouMean(std::string_view name, const std::vector<std::string>& choices) {
  const std::vector<std::string> close = CloseNames(name, choices);
  return close.empty() ? "" : fmt::format(" Did you mean '{}'?", close.front());
}

std::string FirstOf(const std::vector<std::string>& names) {
  const size_t shown = std::min(names.size(), size_t{8});
  const std::span<const std::string> first = std::span(names).first(shown);
  const std::string more =
      shown < names.size() ? fmt::format(" and {} more", names.size() - shown) : "";
  return fmt::format("{}{}", fmt::join(first, ", "), more);
}

bool CountsBefore(std::string_view a, std::string_view b) {
  while (!a.empty() && !b.empty()) {
    const std::string_view in_a = TakeRun(a), in_b = TakeRun(b);
    if (in_a == in_b) continue;
    const bool numbers = IsDigit(in_a.front()) && IsDigit(in_b.front());
    if (numbers && in_a.size() != in_b.size()) return in_a.size() < in_b.size();
    return in_a < in_b;
  }
  return a.size() < b.size();
}

}  // namespace w8a8
