// The pieces of the `avx512vnni` set. Its sources are compiled with AVX-512 flags, so they include
// nothing that has inline functions to emit: a template or inline function compiled there could
// replace the portable copy of the whole program.
#pragma once

#include <cstdint>

#include "runtime/cpu/kernels.h"

namespace w8a8::avx512 {

// kernels_avx512vnni.cc
void QuantizeRows(const QuantizeRowsArgs& args);
void UnpackCodes(const UnpackCodesArgs& args);
int64_t PackedBytes(int64_t n, int64_t k);
void PackWeights(const PackWeightsArgs& args);
void GemmS8(const GemmS8Args& args);

// kernels_avx512_rows.cc
void LayerNormRows(const NormRowsArgs& args);
void RmsNormRows(const NormRowsArgs& args);
void LayerNormFloatRows(const NormFloatRowsArgs& args);
void RmsNormFloatRows(const NormFloatRowsArgs& args);
void GeluErfRows(const ActivationRowsArgs& args);
void GeluTanhRows(const ActivationRowsArgs& args);
void QuickGeluRows(const ActivationRowsArgs& args);
void SiluRows(const ActivationRowsArgs& args);
void AddResidual(const AddResidualArgs& args);
void AddFloatResidual(const AddFloatResidualArgs& args);
void FloatFromHalf(const Half* from, float* to, int64_t count);
void HalfFromFloat(const float* from, Half* to, int64_t count);

}  // namespace w8a8::avx512
