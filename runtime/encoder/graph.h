// The encoder as a list of nodes over slots; no precision, no device.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/encoder/config.h"

namespace w8a8 {

using SlotId = int32_t;
constexpr SlotId kNoSlot = -1;
// A router's weight of an expert that does not run for a token; weights are never below 0.
constexpr float kNotRouted = -1.0f;

// kCodes: int8 codes in the device's own layout, with the scale of each row.
enum class SlotStorage : uint8_t { kHalf, kFloat, kCodes };

// What of a slot's shape follows the grid of a NaFlex image.
enum class GridExtent : uint8_t { kNone, kTokenRows, kPixelCols };

// Which tokens a slot has rows of. kRouted: those that a router gave to one expert, the same ones
// in all such slots at a time; `rows` is the most that an image may have.
enum class SlotRows : uint8_t { kAll, kRouted };

// A value between two nodes: `rows` per image x `cols`. FP16, but for the pixels, a router's
// weights, the sum over experts and, on request, the residual stream; a lowered program adds slots
// of codes.
struct Slot {
  std::string name;
  int64_t rows = 0;
  int64_t cols = 0;
  SlotStorage storage = SlotStorage::kHalf;
  GridExtent follows = GridExtent::kNone;
  SlotRows tokens = SlotRows::kAll;
  // A linear layer of many rows writes it: a device may leave gaps between rows, for its stores.
  bool spaced = false;
};

enum class NodeKind : uint8_t {
  kEmbed,       // in: pixels; out: stream. Patch product, prefix tokens, positions
  kNorm,        // in -> out
  kLinear,      // in -> out; with kAttention all that a precision changes, here where `site` is set
  kActivation,  // in -> out
  kGate,        // out: activation(first half of in's columns) * second half
  kQkNorm,      // in place on the q and k columns of `in`
  kAttention,   // in: queries, in2: keys and values -> out
  kAdd,         // out += layer_scale * in (the residual step)
  kBroadcast,   // out: one row of a parameter for each image (the MAP head's probe)
  kSelectRow,   // out: row `row` of each image of in
  kMeanRows,    // out: mean of the rows of each image of in, from row `row`
  kAverage,     // out: (in + in2) / 2
  kConcat,      // out: the columns of in, then those of in2
  kTanh,        // in -> out
  kConvert,     // out: in, where at least one is FP32
  kClear,       // out: zeros
  kRoute,       // out: the weight of each expert for each row of in, kNotRouted where it is not run
  kGather,      // out: the rows of in that in2, a router's weights, gives to `expert`
  kMix,         // out += weight in in2 of `expert` * in, at the rows of `expert`
  kMixShared,   // out += sigmoid(a parameter times the row of in2) * in
};

struct Node {
  NodeKind kind = NodeKind::kLinear;
  std::string site;    // kLinear inside a block: "blocks.7.mlp.fc2"; else empty
  std::string weight;  // canonical parameter stem, see weights.h; kAdd: layer scale, may be empty
  SlotId in = kNoSlot;
  SlotId in2 = kNoSlot;
  SlotId out = kNoSlot;
  int64_t row = 0;
  int64_t expert = 0;
  // kAttention: first column of q in `in`, of k and v in `in2`; each is `width` wide.
  int64_t q_col = 0;
  int64_t k_col = 0;
  int64_t v_col = 0;
};

// A run of nodes between which only `stream` is alive: the unit the runner advances all arms
// through. Stage 0 embeds, stage i is block i - 1, the last one makes the outputs.
struct Stage {
  int32_t first_node = 0;
  int32_t last_node = 0;  // one past the end
};

struct Graph {
  EncoderConfig config;
  std::vector<Slot> slots;
  std::vector<Node> nodes;
  std::vector<Stage> stages;
  // FP32, rows = channels, cols = height * width; in a graph that begins behind the embedding:
  // [tokens, width], what enters block 0.
  SlotId pixels = kNoSlot;
  SlotId stream = kNoSlot;        // [tokens, width]: the residual stream, FP16 or FP32
  SlotId tokens = kNoSlot;        // FP16, after the final norm (the stream's values without one)
  SlotId pooled = kNoSlot;        // [1, width or pooler] or kNoSlot
  SlotId image_embeds = kNoSlot;  // [1, projection] or kNoSlot
  SlotId logits = kNoSlot;        // [1, classes] or kNoSlot

  Slot& slot(SlotId id) { return slots[static_cast<size_t>(id)]; }
  const Slot& slot(SlotId id) const { return slots[static_cast<size_t>(id)]; }

  std::vector<std::string> Sites() const;            // in node order
  int64_t InputsOf(const std::string& site) const;   // K of the site's layer, which is there
  bool IsRouted(const std::string& site) const;      // an expert's, that some tokens come to
  std::map<std::string, int> StagesOfSites() const;  // the stage of each site: its block's, from 1

 private:
  const Slot& InputSlotOf(const std::string& site) const;
};

// "blocks.{i}.attn.qkv" and so on: the only place where site names are made. Never parsed.
std::string SiteName(int64_t block, std::string_view layer);
// "mlp.experts.3": what the layers of an expert are named after, for SiteName().
std::string ExpertStem(int64_t expert);
constexpr const char* kSharedExpertStem = "mlp.shared_expert";

// `slots` of a graph of `config`, for images of `grid`; as they are where no grid is given.
std::vector<Slot> AtGrid(std::vector<Slot> slots, const EncoderConfig& config, PatchGrid grid);

// `residual` is how the residual stream is stored: FP32 for checkpoints whose stream passes 65,504
// (numerics.md, Residual). Every other slot stays FP16, so the sites see the same kind of input.
Graph BuildGraph(const EncoderConfig& config, SlotStorage residual = SlotStorage::kHalf);

// The same encoder from what enters block 0 on (transformers' inputs_embeds), for `tokens` tokens
// per image, whatever the image size of the config: stage 0 only takes the values over.
Graph BuildGraphFromEmbeds(const EncoderConfig& config, int64_t tokens,
                           SlotStorage residual = SlotStorage::kHalf);

}  // namespace w8a8
