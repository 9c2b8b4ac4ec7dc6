// Attention with INT8 products once for every width of vector: the arithmetic of the scalar kernel
// (kernels_scalar_attention.cc) in the same order, a tile of queries at a time against all keys of
// a head. Included by the files of the vector sets under the rules of vector_rows.h. V is that of
// vector_rows.h with the set's integer tiles:
//   Code, kCodeShift, StoreCodes(Code*, Ints): as vector_codes.h has them.
//   StoreBytes(int8_t*, Ints): the low bytes.
//   StoreWeights(Code*, Ints): integers from 0 to 255 as the rows of a product, without a shift;
//   StoreWeightVectors(Code*, const Ints*): kWeightVectors of them.
//   kTileRows, kPanel, kStep: rows of a tile, columns of a panel, inputs of a column side by side.
//   Unit, StoreUnits(int8_t*, Ints): kStep codes of a column; the low bytes of kLanes columns.
//   Multiply(rows, x, x_stride, panel, steps, start, sums): as vector_products.h has it.
//   MultiplyNarrow: the same of the panel's first kLanes columns.
#pragma once

#include <cstdint>

#include "runtime/cpu/float_kernels.h"
#include "runtime/cpu/gemm_tiles.h"
#include "runtime/cpu/vector_int8_head.h"
#include "runtime/cpu/vector_rows.h"

namespace w8a8 {

template <class V>
struct VectorInt8Attention : VectorInt8Head<V> {
  using Base = VectorInt8Head<V>;
  using Head = typename Base::Head;
  using Floats = typename V::Floats;
  using Ints = typename V::Ints;
  using Code = typename V::Code;
  static constexpr int64_t kLanes = V::kLanes;
  static constexpr int64_t kPanel = V::kPanel;
  static constexpr int64_t kTile = V::kTileRows;
  static constexpr int64_t kStep = V::kStep;
  static constexpr int64_t kVectors = kPanel / kLanes;

  // ---- a tile of queries ----

  // The scores of a tile, and the largest of each row.
  static void ScoreKeys(const AttentionHeadArgs& args, const Head& head, int64_t rows,
                        const float* scale_q, float* maximum) {
    const Floats scale =
        V::Splat(1.0f / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(static_cast<float>(args.head_dim)))));
    alignas(64) int32_t sums[kTile * kPanel];
    alignas(64) float largest[kTile * kLanes];
    for (int64_t r = 0; r < rows; ++r) V::Store(largest + r * kLanes, V::Splat(-__builtin_inff()));
    for (int64_t first = 0; first < args.keys; first += kPanel) {
      V::Multiply(rows, head.queries, head.query_stride, head.keys + first * head.key_steps * kStep,
                  head.key_steps, head.key_start + first, sums);
      Floats key_scale[kVectors], key_offset[kVectors];
      for (int64_t i = 0; i < kVectors; ++i) {
        key_scale[i] = V::Load(head.key_scale + first + i * kLanes);
        key_offset[i] = V::Load(head.key_offset + first + i * kLanes);
      }
      for (int64_t r = 0; r < rows; ++r) {
        Floats most = V::Load(largest + r * kLanes);
        for (int64_t i = 0; i < kVectors; ++i) {
          const Floats factor = V::Splat(scale_q[r]) * key_scale[i] * scale;
          const Ints sum = V::Load(sums + r * kPanel + i * kLanes);
          const Floats score = V::ToFloats(sum) * factor + key_offset[i];
          V::Store(head.scores + r * head.scores_stride + first + i * kLanes, score);
          most = V::Max(score, most);
        }
        V::Store(largest + r * kLanes, most);
      }
    }
    for (int64_t r = 0; r < rows; ++r) maximum[r] = V::LargestLane(V::Load(largest + r * kLanes));
  }

  static Ints WeightOf(Floats difference) {
    return V::Nearest(V::Splat(255.0f) * VectorRows<V>::ExpNonPositive(difference));
  }

  // A row's p as operands of a product; their sum.
  static int32_t WeighKeys(const float* scores, int64_t keys, float maximum, Code* weights) {
    constexpr int64_t kTogether = V::kWeightVectors;
    const Floats subtrahend = V::Splat(maximum);
    const int64_t padded = Base::Up(keys, kSoftmaxLanes);
    Ints sum = {};
    int64_t key = 0;
    for (; key + kTogether * kLanes <= padded; key += kTogether * kLanes) {
      Ints some[kTogether];
      for (int64_t i = 0; i < kTogether; ++i) {
        some[i] = WeightOf(V::Load(scores + key + i * kLanes) - subtrahend);
        sum += some[i];
      }
      V::StoreWeightVectors(weights + key, some);
    }
    for (; key < padded; key += kLanes) {
      const Ints weight = WeightOf(V::Load(scores + key) - subtrahend);
      sum += weight;
      V::StoreWeights(weights + key, weight);
    }
    return V::SumOfLanes(sum);
  }

  static void MixValues(const AttentionHeadArgs& args, const Head& head, int64_t query,
                        int64_t rows, const float* weight_sums) {
    alignas(64) int32_t sums[kTile * kPanel];
    alignas(64) const int32_t zeros[kPanel] = {};
    for (int64_t first = 0; first < args.head_dim; first += kPanel) {
      // Of 72 channels, 80 are multiplied so, not 96.
      const auto multiply = args.head_dim - first > kLanes ? V::Multiply : V::MultiplyNarrow;
      multiply(rows, head.weights, head.weights_stride,
               head.values + first * head.value_steps * kStep, head.value_steps, zeros, sums);
      for (int64_t c = 0; c < kPanel && first + c < args.head_dim; c += kLanes) {
        const Floats scale = V::Load(head.value_scale + first + c);
        const auto lanes = V::FirstLanes(args.head_dim - first - c);
        for (int64_t r = 0; r < rows; ++r) {
          const Floats acc = V::ToFloats(V::Load(sums + r * kPanel + c));
          V::Store(args.out + (query + r) * args.out_stride + first + c, lanes,
                   acc * scale / V::Splat(weight_sums[r]));
        }
      }
    }
  }

  static void KeepProbabilities(const AttentionHeadArgs& args, int64_t query, const Code* weights,
                                float weight_sum) {
    if (args.probabilities == nullptr) return;
    float* to = args.probabilities + query * args.probabilities_stride;
    for (int64_t key = 0; key < args.keys; ++key) {
      to[key] = static_cast<float>(weights[key]) / weight_sum;
    }
  }

  static void RunHead(const AttentionHeadArgs& args) {
    Head head;
    Base::LayOut(args.keys, args.head_dim, static_cast<char*>(args.scratch), &head);
    Base::PackKeys(args, head);
    Base::PackValues(args, head);
    float scale_q[kTile], maximum[kTile], weight_sums[kTile];
    for (int64_t query = 0; query < args.queries;) {
      const int64_t rows = RowsOfTile(args.queries - query, kTile);
      for (int64_t r = 0; r < rows; ++r) {
        Base::CodeQuery(args, head, query + r, head.queries + r * head.query_stride, scale_q + r);
      }
      ScoreKeys(args, head, rows, scale_q, maximum);
      for (int64_t r = 0; r < rows; ++r) {
        Code* weights = head.weights + r * head.weights_stride;
        const float* scores = head.scores + r * head.scores_stride;
        weight_sums[r] = static_cast<float>(WeighKeys(scores, args.keys, maximum[r], weights));
        KeepProbabilities(args, query + r, weights, weight_sums[r]);
      }
      MixValues(args, head, query, rows, weight_sums);
      query += rows;
    }
  }

  static constexpr AttentionKernel Kernel(const char* name) {
    return {.name = name, .scratch_bytes = Base::ScratchBytes, .run_head = RunHead};
  }
};

}  // namespace w8a8
