// The end of a comparison, on stdout.
#pragma once

#include <filesystem>

#include "eval/cli/options.h"
#include "eval/job/comparison.h"

namespace w8a8 {

// The summary, or with --json the same as JSON; nothing with --quiet.
void PrintComparison(const Comparison& comparison, const Options& options,
                     const std::filesystem::path& folder);

}  // namespace w8a8
