// w8a8-calib: parse, run one command, turn exceptions into exit codes.
#include <malloc.h>

#include <cerrno>
#include <csignal>
#include <exception>
#include <filesystem>
#include <new>
#include <string>
#include <vector>

#include "eval/cli/command_line.h"
#include "eval/cli/commands/commands.h"
#include "eval/cli/demo_options.h"
#include "eval/cli/error_text.h"
#include "eval/cli/output_check.h"
#include "eval/cli/settings.h"
#include "eval/cli/usage_error.h"
#include "eval/job/output_folder.h"
#include "runtime/base/file_group.h"
#include "runtime/base/interrupt.h"
#include "runtime/base/names.h"
#include "runtime/base/standard_streams.h"
#include "runtime/cpu/kernels.h"

namespace w8a8 {
namespace {

int RunCommand(int argc, char** argv) {
  const std::optional<Options> options = ParseCommandLine(argc, argv);
  if (!options) return 0;
  UseKernels(Select(CpuKernelsOf(*options)));
  for (const Command& command : Commands()) {
    if (options->command != command.name) continue;
    const Options filled = WithDemo(*options);
    CheckOutput(filled, command.output);
    return command.run(filled);
  }
  FailUsage("{}: this command is not in this version.", options->command);
}

int Run(int argc, char** argv) {
  const int code = RunCommand(argc, argv);
  FlushResults();
  return code;
}

// "interrupted: nothing was written." or what was, and how to go on.
std::string InterruptedText(const Interrupted& interrupted) {
  std::vector<std::string> files;
  for (const std::filesystem::path& file : WrittenFiles()) {
    if (!IsMarker(file)) files.push_back(file.string());
  }
  const std::string written =
      files.empty() ? "nothing was written." : "written before that: " + FirstOf(files) + ".";
  const std::string way_on = interrupted.what();
  return fmt::format("interrupted: {}{}{}\n", written, way_on.empty() ? "" : " ", way_on);
}

// A reader that went away (head) ends the process as it ends others: quietly, by SIGPIPE.
int Lost(const LostResults& lost) {
  if (lost.error() == EPIPE && PipeSignalWasDefault()) {
    std::signal(SIGPIPE, SIG_DFL);
    std::raise(SIGPIPE);
  }
  Tell("error: {}\n", lost.what());
  return 1;
}

}  // namespace
}  // namespace w8a8

int main(int argc, char** argv) {
  // Pixels and traces (0.6 MB and more) go back to the system at once. glibc's own threshold grows
  // until they share the heap with the meters' small records: 195 MiB became 213 over 90 photos,
  // against 142 and 148 with a fixed one.
  mallopt(M_MMAP_THRESHOLD, 256 << 10);
  // A fixed threshold would leave that of trimming at 128 KiB: the top of the heap went back and
  // came again for every layer, at a tenth of the whole job's time (8 MiB more are kept).
  mallopt(M_TRIM_THRESHOLD, 64 << 20);
  w8a8::OpenMissingStreams();
  w8a8::CatchSignals();
  try {
    return w8a8::Run(argc, argv);
  } catch (const w8a8::Interrupted& interrupted) {
    w8a8::TellText(w8a8::InterruptedText(interrupted));
    return 130;
  } catch (const w8a8::LostResults& lost) {
    return w8a8::Lost(lost);
  } catch (const w8a8::BadSetting& error) {
    w8a8::Tell("error: {}\n", w8a8::ErrorText(error));
    return 2;
  } catch (const w8a8::Error& error) {
    w8a8::Tell("error: {}\n", w8a8::ErrorText(error));
    return 1;
  } catch (const std::filesystem::filesystem_error& error) {
    w8a8::Tell("error: {}: {}.\n", error.path1().string(), error.code().message());
    return 1;
  } catch (const std::bad_alloc&) {
    w8a8::TellText("error: out of memory. Lower --memory, --batch or --threads.\n");
    return 1;
  } catch (const std::exception& error) {
    w8a8::Tell("internal error: {}. This is a bug in w8a8-calib.\n", error.what());
    return 1;
  }
}
