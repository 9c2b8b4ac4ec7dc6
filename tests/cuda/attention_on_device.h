// Attention of a batch by the kernels of runtime/cuda, from operands of one image each.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "runtime/cuda/attention_kernels.h"
#include "tests/cpu/plain_attention.h"
#include "tests/cuda/device_memory.h"

namespace w8a8::test {

struct AttentionResult {
  std::vector<Half> out;             // [images * queries, heads * head_dim]
  std::vector<float> probabilities;  // [images * heads * queries, keys] or empty
  friend bool operator==(const AttentionResult&, const AttentionResult&) = default;
};

// Rows of all images with `cols` of others before and behind the operands' own, which hold NaN.
inline std::vector<Half> Slotted(const std::vector<const std::vector<Half>*>& columns, int64_t rows,
                                 int64_t width, int64_t others) {
  const int64_t stride = static_cast<int64_t>(columns.size()) * width + 2 * others;
  std::vector<Half> slot(static_cast<size_t>(rows * stride), Half{0x7e01});
  for (size_t c = 0; c < columns.size(); ++c) {
    for (int64_t row = 0; row < rows; ++row) {
      std::copy_n(columns[c]->begin() + row * width, width,
                  slot.begin() + row * stride + others + static_cast<int64_t>(c) * width);
    }
  }
  return slot;
}

inline AttentionOperands Joined(const std::vector<AttentionOperands>& images) {
  AttentionOperands all;
  for (const AttentionOperands& image : images) {
    all.q.insert(all.q.end(), image.q.begin(), image.q.end());
    all.k.insert(all.k.end(), image.k.begin(), image.k.end());
    all.v.insert(all.v.end(), image.v.begin(), image.v.end());
  }
  return all;
}

struct AttentionOptions {
  AttentionPrecision precision = AttentionPrecision::kFp32;
  std::vector<uint8_t> key_mask = {};  // [images * keys]; empty: all attended
  bool probabilities = false;
  int64_t others = 3;  // columns beside the operands
};

// One image of the case after the other.
inline AttentionResult AttentionOnDevice(const AttentionCase& c,
                                         const std::vector<AttentionOperands>& operands,
                                         const AttentionOptions& options) {
  const int64_t width = c.heads * c.head_dim, others = options.others;
  const auto images = static_cast<int64_t>(operands.size());
  const int64_t queries = images * c.queries, keys = images * c.keys;
  const AttentionOperands all = Joined(operands);
  const DeviceArray<Half> q(Slotted({&all.q}, queries, width, others));
  const DeviceArray<Half> kv(Slotted({&all.k, &all.v}, keys, width, others));
  const DeviceArray<Half> out(static_cast<size_t>(queries * width));
  std::optional<DeviceArray<uint8_t>> mask;
  if (!options.key_mask.empty()) mask.emplace(options.key_mask);
  const int64_t scores = options.probabilities ? images * c.heads * c.queries : 0;
  const DeviceArray<float> probabilities(static_cast<size_t>(scores * c.keys));
  BatchAttentionArgs args = {
      .precision = options.precision,
      .q = {q.data() + others, queries, width, width + 2 * others},
      .k = {kv.data() + others, keys, width, 2 * (width + others)},
      .v = {kv.data() + others + width, keys, width, 2 * (width + others)},
      .out = {out.data(), queries, width, width},
      .images = images,
      .heads = c.heads,
      .head_dim = c.head_dim,
      .key_mask = mask ? mask->data() : nullptr,
      .probabilities = {options.probabilities ? probabilities.data() : nullptr, scores, c.keys,
                        c.keys}};
  const DeviceArray<std::byte> scratch(AttentionScratchBytes(args));
  args.scratch = scratch.data();
  LaunchAttention(nullptr, args);
  return {out.Download(), options.probabilities ? probabilities.Download() : std::vector<float>()};
}

}  // namespace w8a8::test
