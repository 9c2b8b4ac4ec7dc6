#include "eval/cli/print_comparison.h"

#include <unistd.h>

#include <cstdio>
#include <string>

#include <fmt/core.h>

#include "eval/job/progress.h"
#include "eval/job/summary.h"

namespace w8a8 {

void PrintComparison(const Comparison& comparison, const Options& options,
                     const std::filesystem::path& folder) {
  if (options.json) {
    std::fputs(SummaryJson(comparison.report, comparison.run, folder).c_str(), stdout);
  } else if (!options.quiet) {
    const std::string text = SummaryText(comparison.report, comparison.run, folder);
    const size_t verdict = text.find("\n\n");
    const std::string& ship = comparison.report.verdict.ship;
    const char* colour = ship == "yes" ? "\033[1;32m" : ship == "no" ? "\033[1;31m" : "\033[1;33m";
    const bool coloured = MayColour(STDOUT_FILENO);
    fmt::print("{}{}{}{}", coloured ? colour : "", text.substr(0, verdict),
               coloured ? "\033[0m" : "", text.substr(verdict));
  }
}

}  // namespace w8a8
