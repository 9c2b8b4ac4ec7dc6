// `encode`: one arm over images or given pixels, its features into one safetensors file.
#pragma once

#include "eval/cli/options.h"

namespace w8a8 {

int RunEncode(const Options& options);

}  // namespace w8a8
