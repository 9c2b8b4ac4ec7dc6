// One head of attention with INT8 products, as codes: what vector_int8_attention.h multiplies, for
// a V of that header. The arithmetic of the scalar kernel (kernels_scalar_attention.cc) in the same
// order.
#pragma once

#include <cstdint>

#include "runtime/cpu/fetch_rows.h"
#include "runtime/cpu/float_kernels.h"

namespace w8a8 {

template <class V>
struct VectorInt8Head {
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
    int64_t lanes;                         // head_dim in whole vectors
    int8_t* keys;                          // [keys / kPanel][key_steps][kPanel][kStep]
    int8_t* values;                        // [channels / kPanel][value_steps][kPanel][kStep]
    float* key_scale;                      // [keys in whole panels]
    float* key_offset;                     // the same: -infinity where nobody attends, else 0
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
    head->lanes = Up(head_dim, kLanes);
    head->key_steps = Up(head_dim, kStep) / kStep;
    head->value_steps = Up(keys, kStep) / kStep;
    head->query_stride = Up(head_dim, 64);
    head->weights_stride = (Up(keys, 64) / 64 | 1) * 64;
    head->scores_stride = (Up(keys, 32) / 16 | 1) * 16;
    int64_t at = 0;
    Take(&head->keys, whole_keys * head->key_steps * kStep, base, &at);
    Take(&head->values, head->channels * head->value_steps * kStep, base, &at);
    Take(&head->key_scale, whole_keys, base, &at);
    Take(&head->key_offset, whole_keys, base, &at);
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
    return ScaleOf(V::LargestLane(amax));
  }

  // In binary32, 0 behind its end.
  static void LoadRow(const Half* x, int64_t head_dim, const Head& head) {
    for (int64_t d = 0; d < head.lanes; d += kLanes) {
      V::Store(head.row + d, V::Load(x + d, V::FirstLanes(head_dim - d)));
    }
  }

  static void TakeMeanOfKeys(const AttentionHeadArgs& args, const Head& head) {
    int64_t attended = 0;
    for (int64_t d = 0; d < head.lanes; ++d) head.sum[d] = 0.0;
    for (int64_t key = 0; key < args.keys; ++key) {
      if (key + kRowsAhead < args.keys) {
        FetchRow(args.k + (key + kRowsAhead) * args.kv_stride, args.head_dim);
      }
      if (!Attended(args, key)) continue;
      ++attended;
      for (int64_t d = 0; d < head.lanes; d += kLanes) {
        const Floats k =
            V::Load(args.k + key * args.kv_stride + d, V::FirstLanes(args.head_dim - d));
        const Ints finite = ((Ints)k & 0x7fffffff) < 0x7f800000;
        V::Store(head.row + d, (Floats)((Ints)k & finite));
      }
      for (int64_t d = 0; d < head.lanes; ++d) head.sum[d] += static_cast<double>(head.row[d]);
    }
    for (int64_t d = 0; d < head.lanes; ++d) {
      head.mean[d] = static_cast<float>(head.sum[d] / static_cast<double>(attended));
    }
  }

  static void CodeKey(const AttentionHeadArgs& args, const Head& head, int64_t key, int8_t* codes) {
    LoadRow(args.k + key * args.kv_stride, args.head_dim, head);
    for (int64_t d = 0; d < head.lanes; d += kLanes) {
      V::Store(head.row + d, V::Load(head.row + d) - V::Load(head.mean + d));
    }
    const RowScale scale = ScaleOfRow(head.row, head.lanes);
    const Floats inv_scale = V::Splat(scale.inv_scale);
    Ints sum = {};
    for (int64_t d = 0; d < head.lanes; d += kLanes) {
      const Ints code = CodesOf(V::Load(head.row + d) * inv_scale);
      sum += code;
      V::StoreBytes(codes + d, code);
    }
    head.key_scale[key] = scale.scale;
    head.key_start[key] = -V::kCodeShift * V::SumOfLanes(sum);
  }

  static void PackKeys(const AttentionHeadArgs& args, const Head& head) {
    TakeMeanOfKeys(args, head);
    auto* to = reinterpret_cast<Unit*>(head.keys);
    for (int64_t first = 0; first < args.keys; first += kPanel) {
      const int64_t count = args.keys - first < kPanel ? args.keys - first : kPanel;
      for (int64_t j = 0; j < count; ++j) {
        CodeKey(args, head, first + j, head.staged + j * head.channels);
        head.key_offset[first + j] = Attended(args, first + j) ? 0.0f : -__builtin_inff();
      }
      for (int64_t j = count; j < kPanel; ++j) {
        head.key_scale[first + j] = 0.0f;
        head.key_offset[first + j] = -__builtin_inff();
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
      if (key + kRowsAhead < args.keys) {
        FetchRow(args.v + (key + kRowsAhead) * args.kv_stride, args.head_dim);
      }
      if (!Attended(args, key)) continue;
      for (int64_t d = 0; d < head.lanes; d += kLanes) {
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

  static void CodeQuery(const AttentionHeadArgs& args, const Head& head, int64_t query, Code* codes,
                        float* scale_q) {
    if (query + kTile < args.queries) {
      FetchRow(args.q + (query + kTile) * args.q_stride, args.head_dim);
    }
    LoadRow(args.q + query * args.q_stride, args.head_dim, head);
    const RowScale scale = ScaleOfRow(head.row, head.lanes);
    const Floats inv_scale = V::Splat(scale.inv_scale);
    for (int64_t d = 0; d < head.lanes; d += kLanes) {
      V::StoreCodes(codes + d, CodesOf(V::Load(head.row + d) * inv_scale));
    }
    *scale_q = scale.scale;
  }
};

}  // namespace w8a8
