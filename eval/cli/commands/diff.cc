#include "eval/cli/commands/diff.h"

#include <nlohmann/json.hpp>

#include "eval/cli/artifacts/difference.h"
#include "eval/cli/usage_error.h"
#include "runtime/base/standard_streams.h"

namespace w8a8 {
namespace {

constexpr int kExitDifferent = 3;
constexpr size_t kShownAtMost = 40;

void PrintDifferencesAsJson(const ArtifactComparison& comparison) {
  nlohmann::ordered_json json{{"schema", "w8a8-diff/1"},
                              {"equal", comparison.differences.empty()},
                              {"compared", comparison.compared},
                              {"different", comparison.differences.size()}};
  json["differences"] = nlohmann::ordered_json::array();
  for (const Difference& difference : comparison.differences) {
    json["differences"].push_back({{"where", difference.where},
                                   {"a", difference.a},
                                   {"b", difference.b},
                                   {"how", difference.how}});
  }
  Print("{}\n", json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace));
}

void PrintDifferences(const ArtifactComparison& comparison) {
  const size_t count = comparison.differences.size();
  for (size_t i = 0; i < std::min(count, kShownAtMost); ++i) {
    const Difference& difference = comparison.differences[i];
    if (difference.how.empty()) {
      Print("{}: {} -> {}\n", difference.where, difference.a, difference.b);
    } else {
      Print("{}: {}: {}\n", difference.where, difference.a, difference.how);
    }
  }
  if (count > kShownAtMost) {
    Print("... and {} more; --json lists all\n", count - kShownAtMost);
  }
  if (count == 0) {
    Print("equal: {} values\n", comparison.compared);
  } else {
    Print("different: {} of {} values\n", count, comparison.compared);
  }
}

}  // namespace

int RunDiff(const Options& options) {
  if (options.inputs.size() != 2) {
    FailUsage("diff: takes two of a kind: diff A B; {} given.", options.inputs.size());
  }
  const RunFacts run = options.ignore_run ? RunFacts::kIgnored : RunFacts::kCompared;
  const ArtifactComparison comparison = CompareArtifacts(options.inputs[0], options.inputs[1], run);
  if (options.json) {
    PrintDifferencesAsJson(comparison);
  } else if (!options.quiet) {
    PrintDifferences(comparison);
  }
  return comparison.differences.empty() ? 0 : kExitDifferent;
}

}  // namespace w8a8
