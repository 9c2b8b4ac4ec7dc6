// A library's attention on a device: of what speed is compared with alone.
#pragma once

#include <string>

#include "runtime/cuda/attention_kernels.h"
#include "runtime/cuda/queue.h"

namespace w8a8 {

class AttentionLibrary {
 public:
  virtual ~AttentionLibrary() = default;
  virtual std::string name() const = 0;
  // False where the library has no kernel for it; nothing was done then.
  virtual bool Attend(Queue queue, const BatchAttentionArgs& args) = 0;
};

}  // namespace w8a8
