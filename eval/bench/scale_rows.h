// The pass behind oneDNN's INT8 product that gives it scales of rows.
#pragma once

#include <cstdint>

namespace w8a8 {

// y[i] = y[i] * scale + bias[i].
void ScaleAndAddBias(float* y, const float* bias, int64_t count, float scale);

}  // namespace w8a8
