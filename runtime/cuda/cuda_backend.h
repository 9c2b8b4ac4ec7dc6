// The CUDA device, as far as this build has one.
#pragma once

#include <memory>
#include <string>

#include "runtime/backend.h"

namespace w8a8 {

// Why a CUDA device cannot be used on this build and machine; empty if it can.
std::string CudaUnavailableReason();

// Throws Error with that reason when there is one.
std::unique_ptr<Backend> MakeCudaBackend(int device_index);

}  // namespace w8a8
