// Errors about what somebody chose. The folders below the command line know what is wrong and which
// other choice mends it; how a choice is made there (a flag) only the command line knows.
#pragma once

#include <string>
#include <utility>

#include "runtime/base/error.h"

namespace w8a8 {

// What can be chosen otherwise.
enum class Setting { kFakeFlavour, kModelPrefix, kResidual, kTowerOnly };

// The way out of an error: another value of a setting.
struct Remedy {
  Setting setting;
  std::string value;  // as people write it: "fp32"; empty: the setting has none
};

// An Error whose message leaves the way out to the one who knows how to say it.
class MendableError : public Error {
 public:
  MendableError(const std::string& message, Remedy remedy)
      : Error(message), remedy_(std::move(remedy)) {}
  const Remedy& remedy() const { return remedy_; }

 private:
  Remedy remedy_;
};

template <class... Args>
[[noreturn]] void FailWith(Remedy remedy, fmt::format_string<Args...> format, Args&&... args) {
  throw MendableError(fmt::format(format, std::forward<Args>(args)...), std::move(remedy));
}

// A choice that cannot be obeyed: of a name that nothing has, or one that this model rules out.
// Exit 2.
class BadSetting : public Error {
 public:
  using Error::Error;
};

}  // namespace w8a8
