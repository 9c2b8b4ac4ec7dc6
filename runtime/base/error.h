// The exception of the project and the check for broken invariants.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

#include <fmt/format.h>

namespace w8a8 {

// Something the user can mend: the message says what, where, the value and the way out.
// Caught in main(), printed to stderr, exit 1.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

template <class... Args>
[[noreturn]] void Fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

[[noreturn]] void CheckFailed(const char* condition, const char* file, int line);

}  // namespace w8a8

// A broken invariant is our bug, not the user's: aborts with the place, in every build.
#define W8A8_CHECK(condition) \
  ((condition) ? void() : ::w8a8::CheckFailed(#condition, __FILE__, __LINE__))
