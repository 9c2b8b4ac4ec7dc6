// What a CUDA device says of itself.
#pragma once

#include <string>

namespace w8a8 {

// Why there is no device of that index, or its compute capability is below major.minor; empty if
// neither. Throws nothing.
std::string TooOldFor(int device, int major, int minor);
int MultiprocessorsOf(int device);
// "NVIDIA H200, compute capability 9.0, 132 multiprocessors".
std::string DeviceText(int device);

}  // namespace w8a8
