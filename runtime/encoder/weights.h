// A checkpoint's tensors under canonical names, checked and converted on request.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "quant/spec.h"
#include "quant/weight_codes.h"
#include "runtime/base/mat_view.h"
#include "runtime/base/safetensors.h"
#include "runtime/encoder/config.h"

namespace w8a8 {

// One linear layer as stored: either binary32 `values` (converted exactly from `dtype`, F32, F16
// or BF16), or, at a site, `codes` (a quantized folder). Layers outside the sites that are stored
// as codes are given as `values`, (code - zero point) * scale. Parts (q, k, v) are already
// concatenated.
struct LinearParameters {
  int64_t n = 0;
  int64_t k = 0;
  std::vector<float> values = {};         // [n, k] or empty
  Dtype dtype = Dtype::kF32;              // of the values in the file
  std::optional<Scales> scale = {};       // beside values: what their codes are made with
  std::optional<WeightCodes> codes = {};  // [n, k], not yet finished, in place of values
  std::vector<float> bias = {};           // [n] or empty
  MatView<const float> view() const { return {values.data(), n, k, k}; }
};

// How a canonical layer is stored in this checkpoint, for the exporter: its checkpoint stems in row
// order ("vision_model.encoder.layers.0.self_attn.q_proj", ...k_proj, ...v_proj) and rows of each.
// An expert in a stack of all has no stems of its own: they are those that it gets outside
// ("....experts.3.gate_proj", ...up_proj), and `stacks` are the tensors of all experts that it is
// then left out of, weight and bias.
struct LinearSource {
  std::vector<std::string> stems;
  std::vector<int64_t> rows;
  std::vector<std::string> stacks = {};
};

class EncoderWeights;

// The parameters of an encoder by canonical name: what arms are lowered from. A fold (a rotation of
// the residual stream, smoothing moved into a norm) is one of these around another, which answers
// under the same names with rewritten values.
class Weights {
 public:
  virtual ~Weights() = default;

  // patch_embed: K = channels * patch * patch in the order (channel, row, column). Throws Error
  // that names the tensor for a value that is not finite, or a scale that is not above 0.
  virtual LinearParameters Linear(const std::string& stem) const = 0;
  // part: "weight", "bias" or "". Empty where the layout has no such parameter (the bias of an
  // RMSNorm, an absent layer scale).
  virtual std::vector<float> Vector(const std::string& stem, const char* part) const = 0;
  // Where the values come from in the end: names of tensors, files, hashes.
  virtual const EncoderWeights& checkpoint() const = 0;
};

// Canonical stems: patch_embed, prefix, position, pre_norm, blocks.{i}.norm1,
// blocks.{i}.attn.{qkv,proj,q_norm,k_norm}, blocks.{i}.ls1, blocks.{i}.norm2,
// blocks.{i}.mlp.{fc1,fc2}, or in a block with experts blocks.{i}.mlp.experts.{e}.{fc1,fc2},
// blocks.{i}.mlp.shared_expert.{fc1,fc2} and the vectors blocks.{i}.mlp.router ([experts, width])
// and blocks.{i}.mlp.shared_gate ([width]); blocks.{i}.ls2, norm,
// pool.{probe,q,kv,proj,norm,fc1,fc2}, projection, head, head_distilled. Construction maps every
// shard and checks every expected tensor, shape and dtype; nothing is converted before it is asked
// for, so memory stays at one layer. Thread-safe after construction.
class EncoderWeights final : public Weights {
 public:
  // `prefix` chooses the tower where a checkpoint holds several. Throws Error naming what is
  // missing.
  EncoderWeights(const std::filesystem::path& folder, const EncoderConfig& config,
                 const std::string& prefix = "");
  ~EncoderWeights() override;
  EncoderWeights(EncoderWeights&&) noexcept;

  LinearParameters Linear(const std::string& stem) const override;
  std::vector<float> Vector(const std::string& stem, const char* part) const override;
  const EncoderWeights& checkpoint() const override { return *this; }
  // How a site that is stored as codes is run as it is stored, with its own scales; nullopt for
  // floats. Reads no codes.
  std::optional<SitePlan> StoredSite(const std::string& site) const;
  // Whether its codes are packed, several to a word; false for floats.
  bool IsPacked(const std::string& site) const;
  LinearSource Source(const std::string& stem) const;
  bool quantized() const;  // a quantized/ folder: sites hold codes
  // Of the file that holds the tower; of several: of their lines "<sha256>  <name>\n" in the order
  // of their names. Other shards, a language model's, are not read. Computed once, on first use.
  const std::string& sha256() const;
  // Of the model that a quantized/ folder of ours was made from (its plan.json names it); for every
  // other model its own sha256().
  const std::string& source_sha256() const;
  const std::string& prefix() const;                 // the tower's: "vision_model." or ""
  std::vector<std::filesystem::path> files() const;  // the shards
  const std::vector<std::string>& notes() const;     // unexpected keys and other oddities
  // Of a layer's module ("vision_model.head.mlp.fc1") that is stored as codes: the shape of its
  // weight, and the weight's real values, (code - zero point) * scale in binary32. nullopt: it is
  // no such module.
  std::optional<std::vector<int64_t>> CodesShape(const std::string& module) const;
  std::vector<float> RealValues(const std::string& module) const;
  bool Reads(const std::string& key) const;  // whether a layer is made of this tensor

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace w8a8
