// The command line of w8a8-calib: every flag, its check and its help, in one place.
#pragma once

#include <optional>

#include "eval/cli/options.h"

namespace w8a8 {

// Parses argv. Prints help or version text itself and returns nullopt then (exit 0). Throws
// UsageError (exit 2) for unknown flags and values, both named, and for what this version does not
// do yet.
std::optional<Options> ParseCommandLine(int argc, const char* const* argv);

}  // namespace w8a8
