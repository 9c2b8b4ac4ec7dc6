// w8a8-calib: parse, run one command, turn exceptions into exit codes.
#include <malloc.h>

#include <cstdio>
#include <exception>
#include <filesystem>
#include <new>

#include "eval/cli/command_line.h"
#include "eval/cli/commands/commands.h"
#include "eval/cli/demo_options.h"
#include "eval/cli/error_text.h"
#include "eval/cli/settings.h"
#include "eval/cli/usage_error.h"
#include "runtime/base/interrupt.h"
#include "runtime/cpu/kernels.h"

namespace w8a8 {
namespace {

int Run(int argc, char** argv) {
  const std::optional<Options> options = ParseCommandLine(argc, argv);
  if (!options) return 0;
  UseKernels(Select(options->kernels));
  CheckOutIsNoInput(*options);
  for (const Command& command : Commands()) {
    if (options->command == command.name) return command.run(WithDemo(*options));
  }
  FailUsage("{}: this command is not in this version.", options->command);
}

}  // namespace
}  // namespace w8a8

int main(int argc, char** argv) {
  // Pixels and traces (0.6 MB and more) go back to the system at once. glibc's own threshold grows
  // until they share the heap with the meters' small records: 195 MiB became 213 over 90 photos,
  // against 142 and 148 with a fixed one.
  mallopt(M_MMAP_THRESHOLD, 256 << 10);
  w8a8::CatchInterrupts();
  try {
    return w8a8::Run(argc, argv);
  } catch (const w8a8::Interrupted& interrupted) {
    std::fprintf(stderr, "%s\n", interrupted.what());
    return 130;
  } catch (const w8a8::BadSetting& error) {
    std::fprintf(stderr, "error: %s\n", w8a8::ErrorText(error).c_str());
    return 2;
  } catch (const w8a8::Error& error) {
    std::fprintf(stderr, "error: %s\n", w8a8::ErrorText(error).c_str());
    return 1;
  } catch (const std::filesystem::filesystem_error& error) {
    std::fprintf(stderr, "error: %s: %s.\n", error.path1().c_str(), error.code().message().c_str());
    return 1;
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "error: out of memory. Lower --memory, --batch or --threads.\n");
    return 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "internal error: %s. This is a bug in w8a8-calib.\n", error.what());
    return 1;
  }
}
