// The commands by name; each reads Options and returns the exit code.
#pragma once

#include <span>
#include <string_view>

#include "eval/cli/options.h"
#include "eval/cli/output_check.h"

namespace w8a8 {

struct Command {
  std::string_view name;  // "" is the whole job
  Output output;
  int (*run)(const Options&);
};

std::span<const Command> Commands();

}  // namespace w8a8
