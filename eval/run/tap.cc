#include "eval/run/tap.h"

#include <algorithm>

namespace w8a8 {

SampleRows RowsOf(const LinearEvent& event, size_t sample) {
  if (event.owners.empty()) {
    const auto samples = static_cast<int64_t>(event.samples.size());
    const int64_t count = event.input.rows / samples;
    return {.first = static_cast<int64_t>(sample) * count, .count = count};
  }
  const auto of = [](const RowOwner& owner) { return static_cast<size_t>(owner.sample); };
  const auto own = std::ranges::equal_range(event.owners, sample, {}, of);
  SampleRows rows{.first = own.begin() - event.owners.begin(), .count = std::ssize(own)};
  for (const RowOwner& owner : own) rows.tokens.push_back(owner.token);
  return rows;
}

}  // namespace w8a8
