// The order in which a device does what it is told, for code that includes nothing of CUDA.
#pragma once

struct CUstream_st;

namespace w8a8 {

// A CUDA stream; nullptr: the default one.
using Queue = CUstream_st*;

}  // namespace w8a8
