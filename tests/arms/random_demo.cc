#include "tests/arms/random_demo.h"

#include "eval/cli/commands/stage_commands.h"
#include "tests/support/environment.h"

namespace w8a8::test {

std::filesystem::path FolderWithRandomDemo(const std::string& name) {
  const std::filesystem::path folder = ScratchFolder(name);
  Options options;
  options.command = "demo";
  options.out = folder / "demo";
  options.random = true;
  options.quiet = true;
  RunDemo(options);
  return folder;
}

}  // namespace w8a8::test
