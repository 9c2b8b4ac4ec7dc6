#include "runtime/base/standard_streams.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "runtime/base/utf8.h"

namespace w8a8 {

LostResults::LostResults(int error)
    : Error(fmt::format("the results cannot be written to standard output: {}.",
                        std::strerror(error))),
      error_(error) {}

void OpenMissingStreams() {
  // open() takes the lowest free number, so each lands where it is missing. What reads cannot be
  // written: results are not lost without a word.
  for (const auto& [descriptor, mode] :
       {std::pair(STDIN_FILENO, O_RDONLY), {STDOUT_FILENO, O_RDONLY}, {STDERR_FILENO, O_WRONLY}}) {
    if (::fcntl(descriptor, F_GETFD) < 0 && errno == EBADF) (void)::open("/dev/null", mode);
  }
}

void PrintText(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) throw LostResults(errno);
}

void FlushResults() {
  if (std::fflush(stdout) != 0) throw LostResults(errno);
}

void TellText(std::string_view text) {
  const std::string shown = WithoutControls(text, KeepLines::kYes);
  std::fwrite(shown.data(), 1, shown.size(), stderr);
  std::fflush(stderr);
}

}  // namespace w8a8
