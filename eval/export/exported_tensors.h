// The tensors of an exported checkpoint: the plan's sites as codes and scales, the rest as it was.
#pragma once

#include <array>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "eval/export/exported_scope.h"
#include "quant/spec.h"
#include "runtime/base/safetensors.h"
#include "runtime/encoder/graph.h"
#include "runtime/encoder/weights.h"

namespace w8a8 {

struct ExportedSite {
  SitePlan plan;  // normalized
  LinearSource source;
  WeightCodes weight;  // all but the codes
};
using ExportedSites = std::map<std::string, ExportedSite>;

// Every site of the plan that has weights, without its codes. Throws Error naming a site that the
// checkpoint holds as codes and the plan leaves in FP16.
ExportedSites QuantizeSites(const Weights& weights, const Graph& graph, const Plan& plan);

// The codes of a site's weights, made when they are asked for. A file has its tensors by name,
// which puts another layer between the parts of one (k_proj, out_proj, q_proj): the last two are
// kept.
class CodeMaker {
 public:
  CodeMaker(const Weights& weights, const ExportedSites& sites)
      : weights_(weights), sites_(sites) {}

  // [n, k] row-major, until two other sites have been asked for.
  std::span<const int8_t> Codes(const std::string& site);

 private:
  struct Kept {
    std::string site;
    std::vector<int8_t> codes;
  };
  const Weights& weights_;
  const ExportedSites& sites_;
  std::array<Kept, 2> recent_;
  size_t oldest_ = 0;
};

// Writes the new file; its bytes come from the mapped shards, the sites and their codes, one tensor
// after the other.
class TensorCollector {
 public:
  // The arguments outlive this object. `config`: of the checkpoint.
  TensorCollector(const Weights& weights, const EncoderConfig& config, const ExportedSites& sites,
                  const ExportedKeys& keys);

  // transformers refuses files that do not say which framework's layout they hold.
  void Write(const std::filesystem::path& path);

  // Stems of the other linear layers, however they are stored, as they are written.
  const std::vector<std::string>& ignored() const { return ignored_; }
  // Of those, the ones that the source has as codes and the export as floats, their real values:
  // the tower's own class would find no group for them.
  const std::vector<std::string>& floats() const { return floats_; }

 private:
  // The rows of a site's layer that one stem of the source has, and where they begin.
  struct Part {
    std::string site = {}, stem = {};
    int64_t first_row = 0;
    int64_t rows = 0;
  };
  void AddSite(const std::string& name, const ExportedSite& site);
  void AddCodes(const Part& part, const ExportedSite& site);
  void AddWeightScales(const Part& part, const WeightCodes& weight, bool packed);
  void AddStaticScales(const std::string& stem, const SitePlan& plan);
  void UnstackExpertsOf(const EncoderConfig& config, const ExportedSites& sites);
  bool IsReplaced(const std::string& key) const;
  void FindFloats();
  const TensorView* Find(const std::string& key) const;
  bool BecomesFloats(const std::string& key, const TensorView& tensor) const;
  void AddFloats(const std::string& name, const TensorView& codes);
  void AddValuesOf(const std::string& name, const TensorView& codes);
  void AddTheRest();

  const ExportedKeys& keys_;
  const EncoderWeights& checkpoint_;
  CodeMaker codes_;
  const std::string source_sha256_;
  std::vector<SafetensorsFile> shards_;
  std::set<std::string, std::less<>> replaced_;     // stems in the source of the sites' layers
  std::set<std::string, std::less<>> dequantized_;  // stems in the source of floats()
  std::set<std::string, std::less<>> biases_;       // keys of biases that a search made
  std::set<std::string, std::less<>> stacks_;       // keys of tensors whose experts get their own
  std::vector<std::string> ignored_, floats_;
  SafetensorsWriter writer_;
};

}  // namespace w8a8
