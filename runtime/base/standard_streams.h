// Results go to stdout, and a result that cannot be written is an error. What stderr says is for
// people: that nobody can read it changes nothing.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "runtime/base/error.h"

namespace w8a8 {

// Results that stdout did not take.
class LostResults : public Error {
 public:
  explicit LostResults(int error);
  int error() const { return error_; }  // errno

 private:
  int error_;
};

// Gives stdin, stdout and stderr that the process was started without a place, so that no file that
// it opens takes theirs and is printed into. Writing to such a stdout fails. For main().
void OpenMissingStreams();

// To stdout; throws LostResults.
void PrintText(std::string_view text);
// Throws LostResults unless everything that was printed has been written.
void FlushResults();

// To stderr. Control characters other than the end of a line are shown as \x1b.
void TellText(std::string_view text);

template <class... Args>
void Print(fmt::format_string<Args...> format, Args&&... args) {
  PrintText(fmt::format(format, std::forward<Args>(args)...));
}

template <class... Args>
void Tell(fmt::format_string<Args...> format, Args&&... args) {
  TellText(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace w8a8
