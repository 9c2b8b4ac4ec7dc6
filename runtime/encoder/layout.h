// How a checkpoint stores the canonical parameters of weights.h, tensor by tensor.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/encoder/config.h"

namespace w8a8 {

// Before a key: the tensor stands beside the tower, not in it ("classifier" next to "vit.").
constexpr char kBesideTower = '^';

// The key in the file of a layout's `key`, for a tower at `prefix` ("model.vit.", or "").
std::string FullKey(const std::string& prefix, const std::string& key);

// Rows [first_row, first_row + rows) of one stored tensor; `key` is without the tower's prefix.
struct StoredTensor {
  std::string key;
  std::vector<int64_t> shape;  // of the whole stored tensor
  int64_t first_row = 0;
  int64_t rows = 0;
  bool transposed = false;  // these rows are [k, n]
  int row_dims = 1;  // leading dimensions that number the rows: 2 in [experts, rows, columns]
};

// A linear layer [n, k]. Its parts stand one under the other: q, k, v.
struct LinearLayout {
  std::string stem;  // canonical
  int64_t n = 0;
  int64_t k = 0;
  bool site = false;
  std::vector<StoredTensor> weights;
  std::vector<StoredTensor> biases;  // one per weight, or none
  bool bias_optional = false;        // all of them or none
  // A row is stored as (y, x, channel) of so many channels, and k is (channel, y, x); 0: it is not.
  int64_t channels_last = 0;
  // Of an expert in a stack: the modules that stand for it, in row order, once it is stored alone.
  std::vector<std::string> alone = {};
  bool unread = false;  // of a block that is stored and does not run
};

struct VectorLayout {
  std::string name;                   // canonical stem, and ".weight" or ".bias" where it has parts
  std::vector<StoredTensor> tensors;  // one after the other
  bool unread = false;
};

struct CheckpointLayout {
  std::string anchor;  // the key by whose suffix the tower is found
  // A further tensor in a block, or one under these stems, would change what is computed.
  std::string block_stem;  // "encoder.layers."
  std::vector<std::string> computing_stems;
  std::vector<LinearLayout> linears;
  std::vector<VectorLayout> vectors;
};

CheckpointLayout LayoutOf(const EncoderConfig& config);

}  // namespace w8a8
