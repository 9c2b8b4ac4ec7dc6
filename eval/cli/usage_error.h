// A command line that cannot be obeyed.
#pragma once

#include <utility>

#include "runtime/base/setting.h"

namespace w8a8 {

// Names the flag and its value. Exit 2.
class UsageError : public BadSetting {
 public:
  using BadSetting::BadSetting;
};

template <class... Args>
[[noreturn]] void FailUsage(fmt::format_string<Args...> format, Args&&... args) {
  throw UsageError(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace w8a8
