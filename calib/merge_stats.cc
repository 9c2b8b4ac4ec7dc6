#include <map>
#include <utility>

#include "calib/stats_file.h"
#include "runtime/base/error.h"

namespace w8a8 {
namespace {

void CheckEqual(const std::string& what, const std::string& first_path, const std::string& first,
                const std::string& path, const std::string& value) {
  if (first == value) return;
  Fail(
      "{} and {} cannot be merged: {} is {} in the one and {} in the other. Calibrate both with "
      "the same model, preprocessing, residual, outputs and seed.",
      first_path, path, what, first, value);
}

void CheckSameRun(const StatsReader& first, const std::string& first_path,
                  const StatsReader& reader, const std::string& path) {
  const StatsHeader& a = first.header();
  const StatsHeader& b = reader.header();
  const auto check = [&](const std::string& what, const std::string& left,
                         const std::string& right) {
    CheckEqual(what, first_path, left, path, right);
  };
  check("model_sha256", a.model_sha256, b.model_sha256);
  check("preprocessing_sha256", a.preprocessing_sha256, b.preprocessing_sha256);
  check("residual", a.residual, b.residual);
  const auto outputs = [](const StatsHeader& header) {
    return std::string(header.outputs == LayerOutputs::kObserved ? "observed" : "not observed");
  };
  check("what the layers put out", outputs(a), outputs(b));
  check("seed", fmt::to_string(a.seed), fmt::to_string(b.seed));
  check("row_sample_size", fmt::to_string(a.row_sample_size), fmt::to_string(b.row_sample_size));
  if (first.sites() != reader.sites()) {
    Fail("{} and {} cannot be merged: they hold different sites ({} and {} of them).", first_path,
         path, first.sites().size(), reader.sites().size());
  }
}

// Every image of every file; refuses one that stands in two.
std::vector<ImageEntry> UniteImages(const std::vector<StatsReader>& readers,
                                    std::span<const std::filesystem::path> paths) {
  std::map<ImageEntry, size_t> file_of;
  for (size_t i = 0; i < readers.size(); ++i) {
    for (const ImageEntry& image : readers[i].header().images) {
      const auto [at, is_new] = file_of.emplace(image, i);
      if (is_new) continue;
      Fail(
          "{} and {} cannot be merged: both hold image {} (sha256 {}), which would count twice. "
          "Split the images so that each is in one run only.",
          paths[at->second].string(), paths[i].string(), image.name, image.sha256);
    }
  }
  std::vector<ImageEntry> images;
  for (const auto& [image, file] : file_of) images.push_back(image);
  return images;
}

}  // namespace

void MergeSites(const std::map<std::string, SiteStatistics>& from,
                std::map<std::string, SiteStatistics>* into) {
  if (into->empty()) {
    *into = from;
    return;
  }
  W8A8_CHECK(from.size() == into->size());
  for (const auto& [site, statistics] : from) {
    const auto at = into->find(site);
    W8A8_CHECK(at != into->end());
    at->second.Merge(statistics);
  }
}

StatsHeader MergeStats(std::span<const std::filesystem::path> inputs,
                       const std::filesystem::path& out) {
  W8A8_CHECK(!inputs.empty());
  std::vector<StatsReader> readers;
  for (const std::filesystem::path& path : inputs) {
    readers.emplace_back(path);
    CheckSameRun(readers.front(), inputs.front().string(), readers.back(), path.string());
  }
  StatsHeader header = readers.front().header();
  header.images = UniteImages(readers, inputs);
  StatsWriter writer(out, header);
  for (const std::string& site : readers.front().sites()) {
    SiteStatistics merged = readers.front().Site(site);
    for (size_t i = 1; i < readers.size(); ++i) {
      try {
        merged.Merge(readers[i].Site(site));
      } catch (const Error& error) {
        Fail("{}: site '{}': {}", inputs[i].string(), site, error.what());
      }
    }
    writer.Site(site, merged);
  }
  writer.Commit();
  return header;
}

}  // namespace w8a8
