// The INT8 steps for AVX-512-VNNI.
#include "runtime/cpu/codes_avx512.h"
#include "runtime/cpu/int8_kernels.h"
#include "runtime/cpu/products_avx512vnni.h"
#include "runtime/cpu/vector_codes.h"

namespace w8a8 {

const Int8Kernels kAvx512VnniInt8Kernels = {
    .code_bytes = 1,
    .k_step = kStep,
    .k_multiple = kCodesMultiple,
    .n_multiple = kPanel,
    .uses_column_sums = true,
    .begin_worker = nullptr,
    .end_worker = nullptr,
    .quantize_rows = QuantizeRows,
    .transform_row = VectorCodes<Set>::TransformRow,
    .finite_range = VectorCodes<Set>::FiniteRange,
    .encode = VectorCodes<Set>::Encode,
    .unpack_codes = UnpackCodes,
    .packed_bytes = PackedBytes,
    .pack_weights = PackWeights,
    .gemm_s8 = VnniGemmS8,
    .gemm_groups = SetProducts::GemmGroups,
    .gemm_w8 = SetProducts::GemmW8,
    .quantize_outputs = VectorCodes<Set>::QuantizeOutputs,
};

}  // namespace w8a8
