// A forward that only speed is compared with: another backend's, of FP16 programs.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "runtime/backend.h"

namespace w8a8 {

struct SpeedBaseline {
  struct Opened {
    std::unique_ptr<Backend> backend;
    std::function<std::string()> how;  // its forwards so far were made, for people
  };
  std::string name;             // "fp16 speed baseline"
  std::string unusable_reason;  // empty: usable
  std::function<Opened()> open;
};

}  // namespace w8a8
