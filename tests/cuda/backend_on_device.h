// The CUDA backend on whatever runs the kernels of a test.
#pragma once

#include <memory>

#include "runtime/backend.h"

namespace w8a8::test {

std::unique_ptr<Backend> MakeBackendOnDevice();

}  // namespace w8a8::test
