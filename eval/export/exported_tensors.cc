#include "eval/export/exported_tensors.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>

#include "runtime/base/error.h"
#include "runtime/prepare.h"

namespace w8a8 {
namespace {

WeightCodes CodesOf(const Weights& weights, const std::string& site, const SitePlan& plan) {
  return Prepare(site, weights.Linear(site), plan, FakeFlavour::kIdeal).layer.weight;
}

std::string WithoutPart(const std::string& key, std::string_view part) {
  return key.substr(0, key.size() - part.size());
}

// The layer that a tensor is the weight of: as a matrix, or as codes by the names of
// compressed-tensors (packed, sparse), GPTQ and AWQ. nullopt for tables of embeddings and the rest.
std::optional<std::string> OtherLinear(const std::string& key, const TensorView& tensor) {
  if (key.find("embed") != std::string::npos) return std::nullopt;
  for (const std::string_view part :
       {".weight", ".weight_packed", ".weight_scale", ".compressed", ".qweight"}) {
    if (!key.ends_with(part) || (part == ".weight" && tensor.shape.size() != 2)) continue;
    return WithoutPart(key, part);
  }
  return std::nullopt;
}

}  // namespace

ExportedSites QuantizeSites(const Weights& weights, const Graph& graph, const Plan& plan) {
  ExportedSites sites;
  for (const std::string& site : graph.Sites()) {
    const auto planned = plan.sites.find(site);
    if (planned != plan.sites.end()) {
      WeightCodes codes = CodesOf(weights, site, planned->second);
      sites[site] = {.plan = planned->second,
                     .source = weights.checkpoint().Source(site),
                     .n = codes.n,
                     .k = codes.k,
                     .weight_scale = std::move(codes.scale.values),
                     .weight_code_sum = std::move(codes.code_sum)};
    } else if (weights.checkpoint().quantized() && weights.Linear(site).codes) {
      Fail(
          "export: site '{}' is INT8 in the model, but the plan leaves it in FP16; export from the "
          "original model.",
          site);
    }
  }
  return sites;
}

std::span<const int8_t> CodeMaker::Codes(const std::string& site) {
  for (const Kept& kept : recent_) {
    if (kept.site == site) return kept.codes;
  }
  recent_[oldest_] = {site, CodesOf(weights_, site, sites_.at(site).plan).codes};
  const std::span<const int8_t> codes = recent_[oldest_].codes;
  oldest_ = 1 - oldest_;
  return codes;
}

TensorCollector::TensorCollector(const Weights& weights, const ExportedSites& sites,
                                 const ExportedKeys& keys)
    : keys_(keys), codes_(weights, sites), source_sha256_(weights.checkpoint().source_sha256()) {
  for (const std::filesystem::path& shard : weights.checkpoint().files()) {
    shards_.emplace_back(shard);
  }
  for (const auto& [name, site] : sites) AddSite(name, site);
  FindFloats();
  AddTheRest();
}

void TensorCollector::AddSite(const std::string& name, const ExportedSite& site) {
  const std::span<const float> scales = site.weight_scale;
  const auto inputs = static_cast<size_t>(site.k);
  size_t row = 0;
  for (size_t part = 0; part < site.source.stems.size(); ++part) {
    replaced_.insert(site.source.stems[part]);
    const std::string stem = keys_.NameOf(site.source.stems[part]).value();
    const int64_t outputs = site.source.rows[part];
    const auto rows = static_cast<size_t>(outputs);
    writer_.Add(stem + ".weight", Dtype::kI8, {outputs, site.k},
                [this, name, row, rows, inputs](const SafetensorsWriter::Append& append) {
                  append(std::as_bytes(codes_.Codes(name).subspan(row * inputs, rows * inputs)));
                });
    writer_.Add(stem + ".weight_scale", Dtype::kF32, {outputs, 1}, scales.subspan(row, rows));
    const Quantizer& input = *site.plan.input;
    if (input.is_static()) {
      writer_.Add(stem + ".input_scale", Dtype::kF32, {1}, std::span(&input.scale, 1));
    }
    row += rows;
  }
}

// Of a site's layer only the bias is kept: scales and zero points that the source had are its own.
// Of one that becomes floats, the weight as well.
bool TensorCollector::IsReplaced(const std::string& key) const {
  const size_t dot = key.rfind('.');
  if (dot == std::string::npos || key.substr(dot) == ".bias") return false;
  const std::string stem = key.substr(0, dot);
  return replaced_.contains(stem) || (dequantized_.contains(stem) && key.substr(dot) != ".weight");
}

const TensorView* TensorCollector::Find(const std::string& key) const {
  for (const SafetensorsFile& shard : shards_) {
    if (const TensorView* found = shard.Find(key)) return found;
  }
  return nullptr;
}

// A whole model of which no layer is exported keeps its config, groups and all.
void TensorCollector::FindFloats() {
  if (replaced_.empty() && !keys_.tower_only()) return;
  for (const SafetensorsFile& shard : shards_) {
    for (const auto& [key, tensor] : shard.tensors()) {
      const std::optional<std::string> name = keys_.NameOf(key);
      if (!name || !keys_.IsReadAlone(key) || IsReplaced(key)) continue;
      if (tensor.dtype != Dtype::kI8 || !key.ends_with(".weight")) continue;
      dequantized_.insert(WithoutPart(key, ".weight"));
      floats_.push_back(WithoutPart(*name, ".weight"));
    }
  }
}

void TensorCollector::AddFloats(const std::string& name, const TensorView& codes) {
  const std::string stem = WithoutPart(codes.name, ".weight");
  const TensorView* scales = Find(stem + ".weight_scale");
  const TensorView* zero = Find(stem + ".weight_zero_point");
  const int64_t rows = codes.shape.empty() ? 1 : codes.shape.front();
  const bool symmetric =
      zero == nullptr || std::all_of(zero->bytes.begin(), zero->bytes.end(),
                                     [](std::byte b) { return b == std::byte{}; });
  if (scales == nullptr || rows < 1 || (scales->elements() != 1 && scales->elements() != rows) ||
      !symmetric) {
    Fail(
        "export: '{}' is INT8 in the model and no layer that this tool quantizes; it could be "
        "written as floats only with a symmetric scale for each row or for all.",
        codes.name);
  }
  writer_.Add(name, Dtype::kF32, codes.shape,
              [codes, scales = *scales](const SafetensorsWriter::Append& append) {
                const std::vector<float> values = DequantizedRows(codes, FloatValues(scales));
                append(std::as_bytes(std::span(values)));
                ReleasePages(codes.bytes);
              });
}

void TensorCollector::AddTheRest() {
  std::set<std::string> seen;
  for (const SafetensorsFile& shard : shards_) {
    for (const auto& [key, tensor] : shard.tensors()) {
      const std::optional<std::string> name = keys_.NameOf(key);
      if (!name || IsReplaced(key)) continue;
      const std::optional<std::string> other = OtherLinear(*name, tensor);
      if (other && seen.insert(*other).second) ignored_.push_back(*other);
      if (tensor.dtype == Dtype::kI8 && dequantized_.contains(key.substr(0, key.rfind('.')))) {
        AddFloats(*name, tensor);
        continue;
      }
      writer_.Add(*name, tensor.dtype, tensor.shape,
                  [bytes = tensor.bytes](const SafetensorsWriter::Append& append) {
                    append(bytes);
                    ReleasePages(bytes);
                  });
    }
  }
}

void TensorCollector::Write(const std::filesystem::path& path) {
  writer_.SetMetadata("format", "pt");
  writer_.SetMetadata("source_sha256", source_sha256_);
  writer_.Write(path);
}

}  // namespace w8a8
