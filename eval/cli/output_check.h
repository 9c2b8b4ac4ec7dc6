// Before any work: --out may replace what this tool wrote there before, never a file of the user's.
#pragma once

#include <cstdint>

#include "eval/cli/options.h"

namespace w8a8 {

// What a command writes to --out.
enum class Output : uint8_t {
  kNothing,
  kFolder,
  kItsOwnFolder,  // a folder that may be the one it reads
  kStatistics,    // stats.h5
  kPlan,          // plan.json
  kFeatures,      // tensors computed from images, with metadata that names these
  kLayer,         // the tensors of linear, which carry no metadata
};

// Throws UsageError if --out is, under whatever name (links of both kinds are followed), one of the
// files or folders that the command reads: what a flag names, an image, a file of the model. And,
// where the command writes a file, if there is one already that is neither empty nor, by its
// content, of the kind that it writes.
void CheckOutput(const Options& options, Output output);

}  // namespace w8a8
