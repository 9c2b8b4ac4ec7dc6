// Attention with float products once for every width of vector: a tile of queries at a time against
// all keys of a head, so that no matrix of scores is ever in memory. Included by the files of the
// vector sets under the rules of vector_rows.h. V is that of vector_floats.h, and A says what the
// operands are:
//   Panel, Unit: a panel of the set's tiles, and the operand of one of its columns in one step.
//   Row: the same of a row.
//   kInputs: of a step.
//   LoadQuery(const Half*, count, Row*): a row; 0 behind its end up to the last step.
//   LoadKey(const Half*, count, Unit*): the same of a column.
//   LoadValues(const Half* const* rows, lanes, Unit*): one step of V::kLanes columns of kInputs
//     rows.
//   ToWeights(scores, count): exponentials to the row of an operand, in place.
#pragma once

#include <cstdint>

#include "runtime/cpu/fetch_rows.h"
#include "runtime/cpu/float_kernels.h"
#include "runtime/cpu/gemm_tiles.h"
#include "runtime/cpu/vector_rows.h"

namespace w8a8 {

template <class V, class A>
struct VectorAttention {
  using Floats = typename V::Floats;
  using Panel = typename A::Panel;
  using Row = typename A::Row;
  using Unit = typename A::Unit;
  static constexpr int64_t kLanes = V::kLanes;
  static constexpr int64_t kPanel = V::kPanel;
  static constexpr int64_t kTile = V::kTileRows;
  static constexpr int64_t kRegisters = kPanel / kLanes;

  static int64_t Up(int64_t value, int64_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
  }

  // What a head takes of the scratch, in order.
  struct Shape {
    int64_t keys, head_dim;

    static int64_t Steps(int64_t inputs) { return Up(inputs, A::kInputs) / A::kInputs; }
    int64_t key_steps() const { return Steps(head_dim); }
    int64_t value_steps() const { return Steps(keys); }
    int64_t value_cols() const { return Up(head_dim, kLanes); }
    int64_t row_units() const { return Up(key_steps(), 32); }
    // A stride of an even number of cache lines sends every row of a column to few cache sets.
    int64_t scores_stride() const { return (Up(keys, 32) / 16 | 1) * 16; }
    int64_t key_units() const { return Up(Up(keys, kPanel) * key_steps(), 64); }
    int64_t value_units() const { return Up(value_cols() * value_steps(), 64); }
    int64_t staged_units() const { return kPanel * row_units(); }
  };

  struct Head {
    Shape shape;
    Unit* keys;     // [panels][key_steps][kPanel]
    Unit* values;   // by blocks of kPanel or fewer columns: [value_steps][columns]
    Unit* staged;   // [kPanel, row_units]: keys on their way to a panel
    Row* queries;   // [kTile, row_units]
    float* scores;  // [kTile, scores_stride]
  };

  static int64_t ScratchBytes(int64_t keys, int64_t head_dim) {
    const Shape shape{keys, head_dim};
    const int64_t units = shape.key_units() + shape.value_units() + shape.staged_units();
    return units * static_cast<int64_t>(sizeof(Unit)) +
           kTile * shape.row_units() * static_cast<int64_t>(sizeof(Row)) +
           kTile * shape.scores_stride() * static_cast<int64_t>(sizeof(float));
  }

  static Head InScratch(const AttentionHeadArgs& args) {
    const Shape shape{args.keys, args.head_dim};
    auto* keys = static_cast<Unit*>(args.scratch);
    Unit* values = keys + shape.key_units();
    Unit* staged = values + shape.value_units();
    auto* queries = reinterpret_cast<Row*>(staged + shape.staged_units());
    return {shape,  keys,    values,
            staged, queries, reinterpret_cast<float*>(queries + kTile * shape.row_units())};
  }

  // Sixteen or more keys' operands turned: columns of the panel are keys.
  static void PackKeys(const AttentionHeadArgs& args, const Head& head) {
    const int64_t steps = head.shape.key_steps(), stride = head.shape.row_units();
    Unit* to = head.keys;
    for (int64_t first = 0; first < args.keys; first += kPanel) {
      const int64_t count = args.keys - first < kPanel ? args.keys - first : kPanel;
      for (int64_t j = 0; j < count; ++j) {
        const int64_t ahead = first + j + kRowsAhead;
        if (ahead < args.keys) FetchRow(args.k + ahead * args.kv_stride, args.head_dim);
        A::LoadKey(args.k + (first + j) * args.kv_stride, args.head_dim, head.staged + j * stride);
      }
      for (int64_t s = 0; s < steps; ++s, to += kPanel) {
        for (int64_t j = 0; j < count; ++j) to[j] = head.staged[j * stride + s];
        for (int64_t j = count; j < kPanel; ++j) to[j] = Unit{};
      }
    }
  }

  // Rows that nobody attends to become zeros: their weight is 0, and 0 * NaN is not.
  static void PackValues(const AttentionHeadArgs& args, const Head& head) {
    Unit* to = head.values;
    for (int64_t first = 0; first < args.head_dim; first += kPanel) {
      for (int64_t key = 0; key < head.shape.value_steps() * A::kInputs; key += A::kInputs) {
        for (int64_t i = 0; first == 0 && i < A::kInputs; ++i) {
          const int64_t ahead = key + i + kRowsAhead;
          if (ahead < args.keys) FetchRow(args.v + ahead * args.kv_stride, args.head_dim);
        }
        to = PackStep(args, key, first, to);
      }
    }
  }

  // Of the columns from `first` on; the end of what it wrote.
  static Unit* PackStep(const AttentionHeadArgs& args, int64_t key, int64_t first, Unit* to) {
    static constexpr Half kZeros[64] = {};
    const int64_t end = first + RegistersFrom(first, args.head_dim) * kLanes;
    for (int64_t c = first; c < end; c += kLanes, to += kLanes) {
      const Half* rows[A::kInputs];
      for (int64_t i = 0; i < A::kInputs; ++i) {
        const bool attended =
            key + i < args.keys && (args.key_mask == nullptr || args.key_mask[key + i] != 0);
        rows[i] = attended ? args.v + (key + i) * args.kv_stride + c : kZeros;
      }
      A::LoadValues(rows, V::FirstLanes(args.head_dim - c), to);
    }
    return to;
  }

  static int64_t RegistersFrom(int64_t first, int64_t head_dim) {
    const int64_t left = (head_dim - first + kLanes - 1) / kLanes;
    return left < kRegisters ? left : kRegisters;
  }

  static void Multiply(int64_t rows, int64_t registers, const Row* x, int64_t x_stride,
                       const Unit* panel, int64_t steps, float* sums, int64_t sums_stride) {
    const auto* elements = reinterpret_cast<const typename Panel::Element*>(panel);
    const auto multiply = registers == kRegisters
                              ? V::template Tiles<Panel, kRegisters>::kByRows[rows - 1]
                              : V::template Tiles<Panel, 1>::kByRows[rows - 1];
    multiply(x, x_stride, elements, steps, sums, sums_stride);
  }

  static void ScoreKeys(const AttentionHeadArgs& args, const Head& head, int64_t rows) {
    const int64_t steps = head.shape.key_steps(), stride = head.shape.scores_stride();
    for (int64_t first = 0; first < args.keys; first += kPanel) {
      Multiply(rows, kRegisters, head.queries, head.shape.row_units(), head.keys + first * steps,
               steps, head.scores + first, stride);
    }
    if (args.key_mask == nullptr) return;
    for (int64_t key = 0; key < args.keys; ++key) {
      if (args.key_mask[key] != 0) continue;
      for (int64_t r = 0; r < rows; ++r) head.scores[r * stride + key] = -__builtin_inff();
    }
  }

  // The rows' exponentials, as operands at last; 1 / their sums.
  static void WeighKeys(const AttentionHeadArgs& args, const Head& head, int64_t query,
                        int64_t rows, float* inv_sums) {
    const float scale =
        1.0f / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(static_cast<float>(args.head_dim))));
    for (int64_t r = 0; r < rows; ++r) {
      float* scores = head.scores + r * head.shape.scores_stride();
      float sum;
      VectorRows<V>::SoftmaxRow({scores, args.keys, scale, &sum});
      inv_sums[r] = 1.0f / sum;
      if (args.probabilities != nullptr) {
        float* to = args.probabilities + (query + r) * args.probabilities_stride;
        for (int64_t key = 0; key < args.keys; ++key) to[key] = scores[key] * inv_sums[r];
      }
      A::ToWeights(scores, args.keys);
    }
  }

  static void MixValues(const AttentionHeadArgs& args, const Head& head, int64_t query,
                        int64_t rows, const float* inv_sums) {
    alignas(64) float sums[kTile * kPanel];
    const auto* weights = reinterpret_cast<const Row*>(head.scores);
    const int64_t steps = head.shape.value_steps();
    for (int64_t first = 0; first < args.head_dim; first += kPanel) {
      const int64_t registers = RegistersFrom(first, args.head_dim);
      Multiply(rows, registers, weights, head.shape.scores_stride(), head.values + first * steps,
               steps, sums, kPanel);
      for (int64_t r = 0; r < rows; ++r) {
        const Floats inv_sum = V::Splat(inv_sums[r]);
        Half* out = args.out + (query + r) * args.out_stride + first;
        for (int64_t c = 0; c < registers * kLanes; c += kLanes) {
          V::Store(out + c, V::FirstLanes(args.head_dim - first - c),
                   V::Load(sums + r * kPanel + c) * inv_sum);
        }
      }
    }
  }

  static void RunHead(const AttentionHeadArgs& args) {
    const Head head = InScratch(args);
    PackKeys(args, head);
    PackValues(args, head);
    for (int64_t query = 0; query < args.queries;) {
      const int64_t rows = RowsOfTile(args.queries - query, kTile);
      for (int64_t r = 0; r < rows; ++r) {
        const int64_t ahead = query + r + kTile;
        if (ahead < args.queries) FetchRow(args.q + ahead * args.q_stride, args.head_dim);
        A::LoadQuery(args.q + (query + r) * args.q_stride, args.head_dim,
                     head.queries + r * head.shape.row_units());
      }
      float inv_sums[kTile];
      ScoreKeys(args, head, rows);
      WeighKeys(args, head, query, rows, inv_sums);
      MixValues(args, head, query, rows, inv_sums);
      query += rows;
    }
  }

  static constexpr AttentionKernel Kernel(const char* name) {
    return {.name = name, .scratch_bytes = ScratchBytes, .run_head = RunHead};
  }
};

// Binary32 values, ties to even, that BF16 can hold; a NaN is quieted.
template <class V>
typename V::Floats RoundedToBFloat16(typename V::Floats values) {
  using Bits = typename VectorRows<V>::Bits;
  const Bits bits = (Bits)values;
  const Bits rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  const Bits kept = values != values ? bits | 0x00400000u : rounded;
  return (typename V::Floats)(kept & 0xffff0000u);
}

// FP16 or BF16 values in binary32: a conversion beside every 12 FMAs would cost 5 to 10 % of them.
template <class V, bool kBf16>
struct FloatOperands {
  using Panel = typename V::Panel;
  using Unit = float;
  using Row = float;
  static constexpr int64_t kInputs = 1;

  static typename V::Floats Operand(typename V::Floats values) {
    if constexpr (kBf16) return RoundedToBFloat16<V>(values);
    return values;
  }
  static void LoadQuery(const Half* q, int64_t count, Row* to) {
    for (int64_t i = 0; i < count; i += V::kLanes) {
      V::Store(to + i, Operand(V::Load(q + i, V::FirstLanes(count - i))));
    }
  }
  static void LoadKey(const Half* k, int64_t count, Unit* to) { LoadQuery(k, count, to); }
  static void LoadValues(const Half* const* rows, typename V::Lanes lanes, Unit* to) {
    V::Store(to, Operand(V::Load(rows[0], lanes)));
  }
  static void ToWeights(float* scores, int64_t count) {
    if constexpr (!kBf16) return;
    for (int64_t i = 0; i < count; i += V::kLanes) {
      V::Store(scores + i, RoundedToBFloat16<V>(V::Load(scores + i)));
    }
  }
};

}  // namespace w8a8
