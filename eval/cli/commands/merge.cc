#include "eval/cli/commands/merge.h"

#include <filesystem>
#include <vector>

#include "calib/stats_file.h"
#include "eval/cli/error_text.h"
#include "eval/cli/usage_error.h"
#include "eval/job/output_folder.h"
#include "runtime/base/standard_streams.h"

namespace w8a8 {

int RunMerge(const Options& options) {
  if (options.inputs.size() < 2) {
    FailUsage("merge: {} given; it takes two or more stats files: merge A.h5 B.h5 --out C.h5.",
              options.inputs.size());
  }
  if (options.out.empty()) FailUsage("merge: --out FILE is missing.");
  const OutputFile held = From("--out ", [&] { return OutputFile(options.out); });
  const std::vector<std::filesystem::path> inputs(options.inputs.begin(), options.inputs.end());
  const StatsHeader merged = MergeStats(inputs, options.out);
  if (options.json) {
    Print("{{\"files\": {}, \"images\": {}}}\n", inputs.size(), merged.images.size());
  } else if (!options.quiet) {
    Print("{}: {} images from {} files\n", options.out, merged.images.size(), inputs.size());
  }
  return 0;
}

}  // namespace w8a8
