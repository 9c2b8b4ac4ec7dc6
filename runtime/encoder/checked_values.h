// Values of a checkpoint's tensors, checked. `tensor` begins the messages: as
// Checkpoint::WhereIs() names it.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace w8a8 {

// Throws Error for NaN and infinities; `first`: the place in the tensor of values[0].
void RequireFinite(const std::string& tensor, std::span<const float> values, size_t first = 0);
// Throws Error for scales that are not above 0.
void RequirePositive(const std::string& tensor, std::span<const float> scales);

}  // namespace w8a8
