#include "eval/export/exported_tensors.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>

#include "eval/export/compressed_scheme.h"
#include "eval/export/unstacked_experts.h"
#include "quant/bit_packing.h"
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

// ".weight" of INT8 codes, ".weight_packed" of packed ones, "" of everything else.
std::string_view PartOfCodes(const std::string& key, const TensorView& tensor) {
  if (tensor.dtype == Dtype::kI8 && key.ends_with(".weight")) return ".weight";
  return tensor.dtype == Dtype::kI32 && key.ends_with(".weight_packed") ? ".weight_packed" : "";
}

template <class T>
std::vector<T> RowsOf(const std::vector<T>& values, int64_t first, int64_t count) {
  return {values.begin() + first, values.begin() + first + count};
}

// The writer keeps the values.
template <class T>
void AddValues(SafetensorsWriter& writer, std::string name, Dtype dtype, std::vector<int64_t> shape,
               std::vector<T> values) {
  writer.Add(std::move(name), dtype, std::move(shape),
             [values = std::move(values)](const SafetensorsWriter::Append& append) {
               append(std::as_bytes(std::span(values)));
             });
}

}  // namespace

ExportedSites QuantizeSites(const Weights& weights, const Graph& graph, const Plan& plan) {
  ExportedSites sites;
  for (const std::string& site : graph.Sites()) {
    const auto planned = plan.sites.find(site);
    if (planned != plan.sites.end() && planned->second.weight) {
      const SitePlan as_run = Normalized(planned->second, graph.InputsOf(site));
      WeightCodes weight = CodesOf(weights, site, as_run);
      weight.codes = {};
      sites[site] = {
          .plan = as_run, .source = weights.checkpoint().Source(site), .weight = std::move(weight)};
    } else if (weights.checkpoint().StoredSite(site)) {
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

TensorCollector::TensorCollector(const Weights& weights, const EncoderConfig& config,
                                 const ExportedSites& sites, const ExportedKeys& keys)
    : keys_(keys),
      checkpoint_(weights.checkpoint()),
      codes_(weights, sites),
      source_sha256_(checkpoint_.source_sha256()) {
  for (const std::filesystem::path& shard : checkpoint_.files()) {
    shards_.emplace_back(shard);
  }
  for (const auto& [name, site] : sites) AddSite(name, site);
  UnstackExpertsOf(config, sites);
  FindFloats();
  AddTheRest();
  // As an export of this export will find them.
  if (!stacks_.empty()) std::ranges::sort(ignored_);
}

void TensorCollector::AddSite(const std::string& name, const ExportedSite& site) {
  const GivenWeights* given = site.plan.given.value.get();
  Part part{.site = name};
  for (size_t i = 0; i < site.source.stems.size(); ++i) {
    const std::string& stem = site.source.stems[i];
    replaced_.insert(stem);
    part.stem = keys_.NameOf(stem).value();
    part.rows = site.source.rows[i];
    AddCodes(part, site);
    AddWeightScales(part, site.weight,
                    CompressedSchemeOf(site.plan).format == CompressedFormat::kPackQuantized);
    AddStaticScales(part.stem, site.plan);
    if (given != nullptr && given->bias) {
      biases_.insert(stem + ".bias");
      AddValues(writer_, part.stem + ".bias", Dtype::kF32, {part.rows},
                RowsOf(*given->bias, part.first_row, part.rows));
    }
    part.first_row += part.rows;
  }
}

void TensorCollector::AddCodes(const Part& part, const ExportedSite& site) {
  const int64_t k = site.weight.k;
  const auto rows_of = [this, part, k] {
    return codes_.Codes(part.site).subspan(static_cast<size_t>(part.first_row * k),
                                           static_cast<size_t>(part.rows * k));
  };
  if (CompressedSchemeOf(site.plan).format == CompressedFormat::kIntQuantized) {
    writer_.Add(
        part.stem + ".weight", Dtype::kI8, {part.rows, k},
        [rows_of](const SafetensorsWriter::Append& append) { append(std::as_bytes(rows_of())); });
    return;
  }
  const int bits = site.weight.bits;
  writer_.Add(
      part.stem + ".weight_packed", Dtype::kI32,
      {part.rows, PackedWords(k, bits, PackedLayout::kDense)},
      [rows_of, part, k, bits](const SafetensorsWriter::Append& append) {
        const std::vector<int32_t> words = PackRows({rows_of().data(), part.rows, k, k}, bits);
        append(std::as_bytes(std::span(words)));
      });
  AddValues(writer_, part.stem + ".weight_shape", Dtype::kI64, {2},
            std::vector<int64_t>{part.rows, k});
}

// One scale for all of a layer is that of each of its parts.
void TensorCollector::AddWeightScales(const Part& part, const WeightCodes& weight, bool packed) {
  const std::string stem = part.stem + ".weight_";
  if (weight.scale.granularity == Granularity::kTensor) {
    return AddValues(writer_, stem + "scale", Dtype::kF32, {1}, weight.scale.values);
  }
  const int64_t groups = weight.groups();
  const int64_t first = part.first_row * groups, count = part.rows * groups;
  AddValues(writer_, stem + "scale", Dtype::kF32, {part.rows, groups},
            RowsOf(weight.scale.values, first, count));
  if (weight.zero_points.empty()) return;
  std::vector<int8_t> points = RowsOf(weight.zero_points, first, count);
  if (!packed) {
    return AddValues(writer_, stem + "zero_point", Dtype::kI8, {part.rows, groups},
                     std::move(points));
  }
  std::vector<int32_t> words = PackColumns({points.data(), part.rows, groups, groups}, weight.bits);
  const int64_t height = std::ssize(words) / groups;
  AddValues(writer_, stem + "zero_point", Dtype::kI32, {height, groups}, std::move(words));
}

void TensorCollector::AddStaticScales(const std::string& stem, const SitePlan& plan) {
  if (plan.input && plan.input->is_static()) {
    AddValues(writer_, stem + ".input_scale", Dtype::kF32, {1}, std::vector{plan.input->scale});
    if (!plan.input->symmetric) {
      AddValues(writer_, stem + ".input_zero_point", Dtype::kI8, {1},
                std::vector{static_cast<int8_t>(plan.input->zero_point)});
    }
  }
  if (plan.output) {
    AddValues(writer_, stem + ".output_scale", Dtype::kF32, {1}, std::vector{plan.output->scale});
  }
}

// Once one expert has modules of its own, all have: a checkpoint names its experts in one way.
void TensorCollector::UnstackExpertsOf(const EncoderConfig& config, const ExportedSites& sites) {
  const bool any = std::ranges::any_of(
      sites, [](const auto& entry) { return !entry.second.source.stacks.empty(); });
  if (!any) return;
  const auto find = [this](const std::string& key) -> const TensorView& {
    const TensorView* found = Find(key);
    W8A8_CHECK(found != nullptr);
    return *found;
  };
  for (UnstackedTensor& tensor : UnstackExperts(config, checkpoint_.prefix(), find)) {
    stacks_.insert(tensor.stack);
    const bool weight = tensor.part == ".weight";
    if (weight ? sites.contains(tensor.site) : biases_.contains(tensor.module + tensor.part)) {
      continue;
    }
    const std::string module = keys_.NameOf(tensor.module).value();
    if (weight) ignored_.push_back(module);
    writer_.Add(module + tensor.part, tensor.dtype, tensor.shape, std::move(tensor.source));
  }
}

// Of a site's layer only the bias is kept, unless the plan has one: scales and zero points that the
// source had are its own. Of one that becomes floats, the weight as well.
bool TensorCollector::IsReplaced(const std::string& key) const {
  if (stacks_.contains(key)) return true;
  const size_t dot = key.rfind('.');
  if (dot == std::string::npos) return false;
  if (key.substr(dot) == ".bias") return biases_.contains(key);
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
      const std::string_view part = PartOfCodes(key, tensor);
      if (part.empty()) continue;
      dequantized_.insert(WithoutPart(key, part));
      floats_.push_back(WithoutPart(*name, part));
    }
  }
}

bool TensorCollector::BecomesFloats(const std::string& key, const TensorView& tensor) const {
  const std::string_view part = PartOfCodes(key, tensor);
  return !part.empty() && dequantized_.contains(WithoutPart(key, part));
}

// `name`: of the codes, as they would be written.
void TensorCollector::AddFloats(const std::string& name, const TensorView& codes) {
  const std::string_view part = PartOfCodes(codes.name, codes);
  const std::string stem = WithoutPart(codes.name, part);
  const std::string weight = WithoutPart(name, part) + ".weight";
  const std::optional<std::vector<int64_t>> shape = checkpoint_.CodesShape(stem);
  if (!shape) return AddValuesOf(weight, codes);
  writer_.Add(weight, Dtype::kF32, *shape, [this, stem](const SafetensorsWriter::Append& append) {
    const std::vector<float> values = checkpoint_.RealValues(stem);
    append(std::as_bytes(std::span(values)));
  });
}

// Of codes that are none of the tower's layers.
void TensorCollector::AddValuesOf(const std::string& name, const TensorView& codes) {
  const std::string stem = WithoutPart(codes.name, PartOfCodes(codes.name, codes));
  const TensorView* scales = Find(stem + ".weight_scale");
  const TensorView* zero = Find(stem + ".weight_zero_point");
  const int64_t rows = codes.shape.empty() ? 1 : codes.shape.front();
  const bool lone = scales != nullptr && scales->elements() == 1;
  const bool symmetric =
      zero == nullptr || std::all_of(zero->bytes.begin(), zero->bytes.end(),
                                     [](std::byte b) { return b == std::byte{}; });
  if (codes.dtype != Dtype::kI8 || scales == nullptr || rows < 1 ||
      (!lone && scales->elements() != rows) || !symmetric) {
    Fail(
        "export: '{}' is INT8 in the model and no layer that this tool quantizes; it could be "
        "written as floats only with a symmetric scale for each row or for all.",
        codes.name);
  }
  writer_.Add(name, Dtype::kF32, codes.shape,
              [codes, scales = *scales, rows, lone](const SafetensorsWriter::Append& append) {
                const WeightCodes weight{
                    .n = rows,
                    .k = codes.elements() / rows,
                    .codes = Int8Values(codes),
                    .scale = {.granularity = lone ? Granularity::kTensor : Granularity::kChannel,
                              .values = FloatValues(scales)}};
                const std::vector<float> values = weight.RealValues();
                append(std::as_bytes(std::span(values)));
                ReleasePages(codes.bytes);
              });
}

void TensorCollector::AddTheRest() {
  std::set<std::string> seen;
  for (const SafetensorsFile& shard : shards_) {
    for (const auto& [key, tensor] : shard.tensors()) {
      const std::optional<std::string> name = keys_.NameOf(key);
      if (!name) continue;
      const bool floats = BecomesFloats(key, tensor);
      if (!floats && IsReplaced(key)) continue;
      const std::optional<std::string> other = OtherLinear(*name, tensor);
      if (other && seen.insert(*other).second) ignored_.push_back(*other);
      if (floats) {
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
