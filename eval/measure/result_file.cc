#include "eval/measure/result_file.h"

#include <limits>

#include <fmt/format.h>

#include "eval/measure/result_table.h"
#include "runtime/base/error.h"

namespace w8a8 {
namespace {

constexpr const char* kFormat = "w8a8-calib results 2";
constexpr const char* kSamples = "/samples";

}  // namespace

ResultWriter::ResultWriter(const std::filesystem::path& path) : file_(path) {
  file_.Attribute("/", "format", kFormat);
}

uint32_t ResultWriter::NumberOf(const SampleKey& sample) {
  W8A8_CHECK(numbers_.size() < std::numeric_limits<uint32_t>::max());
  return numbers_.try_emplace(sample, static_cast<uint32_t>(numbers_.size())).first->second;
}

void ResultWriter::Commit() {
  std::vector<const SampleKey*> samples(numbers_.size());
  for (const auto& [sample, number] : numbers_) samples[number] = &sample;
  ColumnFile<SampleKey>::Save(*this, kSamples, samples);
  file_.Commit();
}

ResultReader::ResultReader(const std::filesystem::path& path) : file_(path) {
  if (!file_.HasAttribute("/", "format") || file_.TextAttribute("/", "format") != kFormat) {
    Fail("{}: not a file of results of this version (attribute format '{}').", path.string(),
         kFormat);
  }
  for (SampleKey& sample : ColumnFile<SampleKey>::Load(*this, kSamples, -1)) {
    samples_.push_back(std::make_shared<const SampleKey>(std::move(sample)));
  }
}

SamplePtr ResultReader::SampleOf(uint32_t number, const std::string& dataset) const {
  if (number >= samples_.size()) {
    Refuse(dataset, fmt::format("names sample {}, but there are {}", number, samples_.size()));
  }
  return samples_[number];
}

void ResultReader::Refuse(const std::string& object, const std::string& problem) const {
  Fail("{}: '{}' {}; the file is damaged. Run again without it.", file_.path().string(), object,
       problem);
}

void ColumnFile<std::string>::Save(ResultWriter& writer, const std::string& path,
                                   const std::vector<const std::string*>& rows) {
  std::vector<std::string> texts;
  for (const std::string* row : rows) texts.push_back(*row);
  writer.file().WriteStrings(path, texts);
}

std::vector<std::string> ColumnFile<std::string>::Load(const ResultReader& reader,
                                                       const std::string& path, int64_t rows) {
  return reader.file().ReadStrings(path, rows);
}

void ColumnFile<SamplePtr>::Save(ResultWriter& writer, const std::string& path,
                                 const std::vector<const SamplePtr*>& rows) {
  std::vector<uint32_t> numbers;
  for (const SamplePtr* row : rows) numbers.push_back(writer.NumberOf(**row));
  writer.file().Write(path, numbers);
}

std::vector<SamplePtr> ColumnFile<SamplePtr>::Load(const ResultReader& reader,
                                                   const std::string& path, int64_t rows) {
  std::vector<SamplePtr> samples;
  for (const uint32_t number : reader.file().Read<uint32_t>(path, {rows})) {
    samples.push_back(reader.SampleOf(number, path));
  }
  return samples;
}

}  // namespace w8a8
