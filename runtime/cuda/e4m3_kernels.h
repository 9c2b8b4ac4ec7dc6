// FP16 rows as E4M3, for FP8 products.
#pragma once

#include "runtime/base/half.h"
#include "runtime/base/mat_view.h"
#include "runtime/cuda/plain_codes.h"
#include "runtime/cuda/queue.h"

namespace w8a8 {

// By `to`, whose codes are E4M3.
void LaunchToE4m3(Queue queue, MatView<const Half> x, const PlainCodes& to);

}  // namespace w8a8
