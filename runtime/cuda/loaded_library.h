// A shared library that is opened when it is first asked for and stays: the build needs none of it.
#pragma once

#include <dlfcn.h>

#include <string>

#include <fmt/format.h>

namespace w8a8 {

class LoadedLibrary {
 public:
  // `name`: its soname.
  explicit LoadedLibrary(const char* name) : library_(::dlopen(name, RTLD_NOW | RTLD_LOCAL)) {
    if (library_ == nullptr) reason_ = ::dlerror();
  }

  // `function` stays as it is where there is no library.
  template <class Function>
  void Find(const char* name, Function* function) {
    if (library_ == nullptr) return;
    *function = reinterpret_cast<Function>(::dlsym(library_, name));
    if (*function == nullptr && reason_.empty()) reason_ = fmt::format("it has no {}", name);
  }

  // Why it cannot be used: that it cannot be opened, or the first function that it lacks; empty:
  // it can.
  const std::string& reason() const { return reason_; }

 private:
  void* const library_;
  std::string reason_;
};

}  // namespace w8a8
