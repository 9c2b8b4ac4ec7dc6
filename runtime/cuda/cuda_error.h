// Errors of CUDA calls and launches, with the device's words.
#pragma once

#include <string_view>

namespace w8a8 {

// Throws Error unless `status`, a cudaError_t, is success; `what` says what was tried.
void CheckCuda(int status, std::string_view what);

}  // namespace w8a8
