// Attention with INT8 products once for every width of vector: the arithmetic of the scalar kernel
// (kernels_scalar_attention.cc) in the same order, a tile of queries at a time against all keys of
// a head. Included by the files of the vector sets under the rules of vector_rows.h. V is that of
// vector_rows.h with the set's integer tiles:
//   Code, kCodeShift, StoreCodes(Code*, Ints): as vector_codes.h has them.
//   StoreBytes(int8_t*, Ints): the low bytes.
//   StoreWeights(Code*, Ints): integers from 0 to 255 as the rows of a product, without a shift.
//   kTileRows, kPanel, kStep: rows of a tile, columns of a panel, inputs of a column side by side.
//   Unit, StoreUnits(int8_t*, Ints): kStep codes of a column; the low bytes of kLanes columns.
//   Multiply(rows, x, x_stride, panel, steps, start, sums): as vector_products.h has it.
#pragma once

#include <cstdint>

#include "runtime/cpu/float_kernels.h"
#include "runtime/cpu/gemm_tiles.h"
#include "runtime/cpu/vector_rows.h"

namespace w8a8 {

template <class V>
struct VectorInt8Attention {
  using Floats = typename V::Floats;
  using Ints = typename V::Ints;
  using Code = typename V::Code;
  using Unit = typename V::Unit;
  static constexpr int64_t kLanes = V::kLanes;
  static constexpr int64_t kPanel = V::kPanel;
  static constexpr int64_t kTile = V::kTileRows;
  static constexpr int64_t kStep = V::kStep;

  static int64_t Up(int64_t value, int64_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
  }

  // Codes of one head, and what they are worth.
  struct Head {
    int64_t key_steps, value_steps;        // of kStep channels; of kStep keys
    int64_t query_stride, weights_stride;  // codes
    int64_t scores_stride, channels;       // floats; head_dim in whole panels
    int8_t* keys;                          // [keys / kPanel][key_steps][kPanel][kStep]
    int8_t* values;                        // [channels / kPanel][value_steps][kPanel][kStep]
    float* key_scale;                      // [keys in whole panels]
    int32_t* key_start;                    // the same: takes the shift of the queries' codes off
    float* value_scale;                    // [channels]
    double* sum;                           // [channels]
    float* mean;                           // [channels]: of the keys; then 1 / value_scale
    float* row;                            // [channels]
    int8_t* staged;                        // [kPanel, channels]: keys on their way to a panel
    Code* queries;                         // [kTile, query_stride]
    Code* weights;                         // [kTile, weights_stride]
    float* scores;                         // [kTile, scores_stride]
  };

  template <class T>
  static void Take(T** part, int64_t count, char* base, int64_t* at) {
    *part = reinterpret_cast<T*>(base + *at);
    *at += Up(count * static_cast<int64_t>(sizeof(T)), 64);
  }

  // Returns the bytes that it takes. A stride of an even number of cache lines would send every row
  // of a column to few cache sets.
  static int64_t LayOut(int64_t keys, int64_t head_dim, char* base, Head* head) {
    const int64_t whole_keys = Up(keys, kPanel);
    head->channels = Up(head_dim, kPanel);
    head->key_steps = Up(head_dim, kStep) / kStep;
    head->value_steps = Up(keys, kStep) / kStep;
    head->query_stride = Up(head_dim, 64);
    head->weights_stride = (Up(keys, 64) / 64 | 1) * 64;
    head->scores_stride = (Up(keys, 32) / 16 | 1) * 16;
    int64_t at = 0;
    Take(&head->keys, whole_keys * head->key_steps * kStep, base, &at);
    Take(&head->values, head->channels * head->value_steps * kStep, base, &at);
    Take(&head->key_scale, whole_keys, base, &at);
    Take(&head->key_start, whole_keys, base, &at);
    Take(&head->value_scale, head->channels, base, &at);
    Take(&head->sum, head->channels, base, &at);
    Take(&head->mean, head->channels, base, &at);
    Take(&head->row, head->channels, base, &at);
    Take(&head->staged, kPanel * head->channels, base, &at);
    Take(&head->queries, kTile * head->query_stride, base, &at);
    Take(&head->weights, kTile * head->weights_stride, base, &at);
    Take(&head->scores, kTile * head->scores_stride, base, &at);
    return at;
  }

  static int64_t ScratchBytes(int64_t keys, int64_t head_dim) {
    Head head;
    return LayOut(keys, head_dim, nullptr, &head);
  }

  static bool Attended(const AttentionHeadArgs& args, int64_t key) {
    return args.key_mask == nullptr || args.key_mask[key] != 0;
  }

  // ---- codes ----

  static Floats FiniteMagnitude(Floats values) {
    const Ints magnitude = (Ints)values & 0x7fffffff;
    return (Floats)(magnitude & (magnitude < 0x7f800000));
  }

  static float Largest(Floats values) {
    float lanes[kLanes];
    V::Store(lanes, values);
    float largest = lanes[0];
    for (const float lane : lanes) largest = lane > largest ? lane : largest;
    return largest;
  }

  static Ints CodesOf(Floats p) {
    const Ints ordered = p == p;
    const Floats near = V::Min(V::Max(p, V::Splat(-127.0f)), V::Splat(127.0f));
    return V::Nearest(near) & ordered;
  }

  struct RowScale {
    float scale, inv_scale;
  };
  static RowScale ScaleOf(float amax) {
    const float inv_scale = 127.0f / amax;
    if (!(inv_scale <= 0x1.fffffep+127f)) return {0.0f, 0.0f};
    return {amax / 127.0f, inv_scale};
  }

  static RowScale ScaleOfRow(const float* values, int64_t channels) {
    Floats amax = V::Splat(0.0f);
    for (int64_t d = 0; d < channels; d += kLanes) {
      amax = V::Max(amax, FiniteMagnitude(V::Load(values + d)));
    }
    return ScaleOf(Largest(amax));
  }

  // In binary32, 0 behind its end.
  static void LoadRow(const Half* x, int64_t head_dim, const Head& head) {
    for (int64_t d = 0; d < head.channels; d += kLanes) {
      V::Store(head.row + d, V::Load(x + d, V::FirstLanes(head_dim - d)));
    }
  }

  static void TakeMeanOfKeys(const AttentionHeadArgs& args, const Head& head) {
    int64_t attended = 0;
    for (int64_t d = 0; d < head.channels; ++d) head.sum[d] = 0.0;
    for (int64_t key = 0; key < args.keys; ++key) {
      if (!Attended(args, key)) continue;
      ++attended;
      for (int64_t d = 0; d < head.channels; d += kLanes) {
        const Floats k =
            V::Load(args.k + key * args.kv_stride + d, V::FirstLanes(args.head_dim - d));
        const Ints finite = ((Ints)k & 0x7fffffff) < 0x7f800000;
        V::Store(head.row + d, (Floats)((Ints)k & finite));
      }
      for (int64_t d = 0; d < head.channels; ++d) head.sum[d] += static_cast<double>(head.row[d]);
    }
    for (int64_t d = 0; d < head.channels; ++d) {
      head.mean[d] = static_cast<float>(head.sum[d] / static_cast<double>(attended));
    }
  }

  static void CodeKey(const AttentionHeadArgs& args, const Head& head, int64_t key, int8_t* codes) {
    LoadRow(args.k + key * args.kv_stride, args.head_dim, head);
    for (int64_t d = 0; d < head.channels; d += kLanes) {
      V::Store(head.row + d, V::Load(head.row + d) - V::Load(head.mean + d));
    }
    const RowScale scale = ScaleOfRow(head.row, head.channels);
    const Floats inv_scale = V::Splat(scale.inv_scale);
    Ints sum = {};
    for (int64_t d = 0; d < head.channels; d += kLanes) {
      const Ints code = CodesOf(V::Load(head.row + d) * inv_scale);
      sum += code;
      V::StoreBytes(codes + d, code);
    }
    int32_t lanes[kLanes], total = 0;
    V::Store(lanes, sum);
    for (const int32_t lane : lanes) total += lane;
    head.key_scale[key] = scale.scale;
    head.key_start[key] = -V::kCodeShift * total;
  }

  static void PackKeys(const AttentionHeadArgs& args, const Head& head) {
    TakeMeanOfKeys(args, head);
    auto* to = reinterpret_cast<Unit*>(head.keys);
    for (int64_t first = 0; first < args.keys; first += kPanel) {
      const int64_t count = args.keys - first < kPanel ? args.keys - first : kPanel;
      for (int64_t j = 0; j < count; ++j) {
        CodeKey(args, head, first + j, head.staged + j * head.channels);
      }
      for (int64_t j = count; j < kPanel; ++j) {
        head.key_scale[first + j] = 0.0f;
        head.key_start[first + j] = 0;
      }
      for (int64_t s = 0; s < head.key_steps; ++s, to += kPanel) {
        for (int64_t j = 0; j < count; ++j) {
          to[j] = reinterpret_cast<const Unit*>(head.staged + j * head.channels)[s];
        }
        for (int64_t j = count; j < kPanel; ++j) to[j] = 0;
      }
    }
  }

  // Scales by channel over the attended keys.
  static void ScaleValues(const AttentionHeadArgs& args, const Head& head) {
    for (int64_t d = 0; d < head.channels; ++d) head.row[d] = 0.0f;
    for (int64_t key = 0; key < args.keys; ++key) {
      if (!Attended(args, key)) continue;
      for (int64_t d = 0; d < head.channels; d += kLanes) {
        const Floats v =
            V::Load(args.v + key * args.kv_stride + d, V::FirstLanes(args.head_dim - d));
        V::Store(head.row + d, V::Max(V::Load(head.row + d), FiniteMagnitude(v)));
      }
    }
    for (int64_t d = 0; d < head.channels; ++d) {
      const RowScale scale = ScaleOf(head.row[d]);
      head.value_scale[d] = scale.scale;
      head.mean[d] = scale.inv_scale;
    }
  }

  static void PackValues(const AttentionHeadArgs& args, const Head& head) {
    ScaleValues(args, head);
    for (int64_t s = 0; s < head.value_steps; ++s) {
      for (int64_t d = 0; d < head.channels; d += kLanes) {
        const Floats inv_scale = V::Load(head.mean + d);
        Ints units = {};
        for (int64_t i = 0; i < kStep && s * kStep + i < args.keys; ++i) {
          const Half* v = args.v + (s * kStep + i) * args.kv_stride + d;
          const Ints code = CodesOf(V::Load(v, V::FirstLanes(args.head_dim - d)) * inv_scale);
          units |= (code & 255) << static_cast<int32_t>(8 * i);
        }
        const int64_t panel = d / kPanel * head.value_steps + s;
        V::StoreUnits(head.values + (panel * kPanel + d % kPanel) * kStep, units);
      }
    }
  }

  // ---- a tile of queries ----

  static void CodeQuery(const AttentionHeadArgs& args, const Head& head, int64_t query, Code* codes,
                        float* scale_q) {
    LoadRow(args.q + query * args.q_stride, args.head_dim, head);
    const RowScale scale = ScaleOfRow(head.row, head.channels);
    const Floats inv_scale = V::Splat(scale.inv_scale);
    for (int64_t d = 0; d < head.channels; d += kLanes) {
      V::StoreCodes(codes + d, CodesOf(V::Load(head.row + d) * inv_scale));
    }
    *scale_q = scale.scale;
  }

  static void ScoreKeys(const AttentionHeadArgs& args, const Head& head, int64_t rows,
                        const float* scale_q) {
    const Floats scale =
        V::Splat(1.0f / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(static_cast<float>(args.head_dim)))));
    alignas(64) int32_t sums[kTile * kPanel];
    for (int64_t first = 0; first < args.keys; first += kPanel) {
      V::Multiply(rows, head.queries, head.query_stride, head.keys + first * head.key_steps * kStep,
                  head.key_steps, head.key_start + first, sums);
      for (int64_t c = 0; c < kPanel; c += kLanes) {
        const Floats key_scale = V::Load(head.key_scale + first + c);
        for (int64_t r = 0; r < rows; ++r) {
          const Floats factor = V::Splat(scale_q[r]) * key_scale * scale;
          V::Store(head.scores + r * head.scores_stride + first + c,
                   V::ToFloats(V::Load(sums + r * kPanel + c)) * factor);
        }
      }
    }
    for (int64_t key = 0; key < Up(args.keys, kSoftmaxLanes); ++key) {
      if (key < args.keys && Attended(args, key)) continue;
      for (int64_t r = 0; r < rows; ++r) {
        head.scores[r * head.scores_stride + key] = -__builtin_inff();
      }
    }
  }

  // A row's p as operands of a product; their sum.
  static int32_t WeighKeys(const float* scores, int64_t keys, Code* weights) {
    const int64_t padded = Up(keys, kSoftmaxLanes);
    const Floats maximum = V::Splat(VectorRows<V>::Maximum(scores, padded));
    Ints sum = {};
    for (int64_t key = 0; key < padded; key += kLanes) {
      const Floats p = VectorRows<V>::ExpNonPositive(V::Load(scores + key) - maximum);
      const Ints weight = V::Nearest(V::Splat(255.0f) * p);
      sum += weight;
      V::StoreWeights(weights + key, weight);
    }
    int32_t lanes[kLanes], total = 0;
    V::Store(lanes, sum);
    for (const int32_t lane : lanes) total += lane;
    return total;
  }

  static void MixValues(const AttentionHeadArgs& args, const Head& head, int64_t query,
                        int64_t rows, const float* weight_sums) {
    alignas(64) int32_t sums[kTile * kPanel];
    alignas(64) const int32_t zeros[kPanel] = {};
    for (int64_t first = 0; first < args.head_dim; first += kPanel) {
      V::Multiply(rows, head.weights, head.weights_stride,
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
    LayOut(args.keys, args.head_dim, static_cast<char*>(args.scratch), &head);
    PackKeys(args, head);
    PackValues(args, head);
    float scale_q[kTile], weight_sums[kTile];
    for (int64_t query = 0; query < args.queries;) {
      const int64_t rows = RowsOfTile(args.queries - query, kTile);
      for (int64_t r = 0; r < rows; ++r) {
        CodeQuery(args, head, query + r, head.queries + r * head.query_stride, scale_q + r);
      }
      ScoreKeys(args, head, rows, scale_q);
      for (int64_t r = 0; r < rows; ++r) {
        Code* weights = head.weights + r * head.weights_stride;
        weight_sums[r] =
            static_cast<float>(WeighKeys(head.scores + r * head.scores_stride, args.keys, weights));
        KeepProbabilities(args, query + r, weights, weight_sums[r]);
      }
      MixValues(args, head, query, rows, weight_sums);
      query += rows;
    }
  }

  static constexpr AttentionKernel Kernel(const char* name) {
    return {.name = name, .scratch_bytes = ScratchBytes, .run_head = RunHead};
  }
};

}  // namespace w8a8
