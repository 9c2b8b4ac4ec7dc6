// Where rows go as codes on the device by the plain quantizer of numerics.md: symmetric, one scale
// for each row or a static one for all.
#pragma once

#include <cstdint>
#include <limits>

namespace w8a8 {

struct PlainCodes {
  float clip_range = std::numeric_limits<float>::infinity();  // per-token: R
  float static_scale = 0.0f;                                  // 0: per-token
  int8_t* codes = nullptr;      // [rows, stride], 16-byte aligned; nullptr: not wanted
  int64_t stride = 0;           // a multiple of 16, at least the columns: those past them become 0
  float* scale = nullptr;       // [rows]; a static scale is repeated
  int32_t* code_sum = nullptr;  // [rows]: sum of the row's codes; nullptr: not wanted
  bool e4m3 = false;            // codes are ToE4m3(value / static_scale), and there is nothing else
};

}  // namespace w8a8
