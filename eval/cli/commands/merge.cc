#include "eval/cli/commands/merge.h"

#include <filesystem>
#include <vector>

#include <fmt/core.h>

#include "calib/stats_file.h"
#include "eval/cli/usage_error.h"

namespace w8a8 {

int RunMerge(const Options& options) {
  if (options.inputs.size() < 2) {
    FailUsage("merge: {} given; it takes two or more stats files: merge A.h5 B.h5 --out C.h5.",
              options.inputs.size());
  }
  if (options.out.empty()) FailUsage("merge: --out FILE is missing.");
  const std::vector<std::filesystem::path> inputs(options.inputs.begin(), options.inputs.end());
  const StatsHeader merged = MergeStats(inputs, options.out);
  if (options.json) {
    fmt::print("{{\"files\": {}, \"images\": {}}}\n", inputs.size(), merged.images.size());
  } else if (!options.quiet) {
    fmt::print("{}: {} images from {} files\n", options.out, merged.images.size(), inputs.size());
  }
  return 0;
}

}  // namespace w8a8
