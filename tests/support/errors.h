// Error messages as values, so that tests can read them.
#pragma once

#include <string>
#include <string_view>

#include "runtime/base/error.h"

namespace w8a8::test {

// The message of the Error that `body` throws; "no error was thrown" if none is.
template <class Body>
std::string ErrorOf(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error was thrown";
}

inline bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace w8a8::test
