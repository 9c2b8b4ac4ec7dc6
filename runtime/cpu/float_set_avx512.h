// The tiles and vectors of float products with AVX-512. Included by the files that make the tables.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "runtime/cpu/scalar_attention.h"
#include "runtime/cpu/tiles_floats.h"
#include "runtime/cpu/vector_attention.h"
#include "runtime/cpu/vector_floats.h"
#include "runtime/cpu/vectors_avx512.h"

namespace w8a8 {
namespace {

// 12 x 32 as the INT8 tiles have it (tiles_avx512vnni.h): 24 accumulators, two registers of a panel
// and a broadcast.
using Set = FloatSet<Avx512, 12, 96>;

}  // namespace
}  // namespace w8a8
