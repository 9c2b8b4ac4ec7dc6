// What taps measured, in a file: for runs that are resumed, split over processes or merged later.
// HDF5; beside the results (result_table.h) it holds the keys of their samples once:
//
// /samples/: sha256, name, copy i64, view i64; records name a sample by its number there.
// Attributes of the file: format. Equal results give equal bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "eval/run/sample.h"
#include "runtime/base/hdf5_file.h"

namespace w8a8 {

class ResultWriter {
 public:
  explicit ResultWriter(const std::filesystem::path& path);

  Hdf5OutputFile& file() { return file_; }
  // The number of a sample in this file.
  uint32_t NumberOf(const SampleKey& sample);
  // Nothing appears under the name before this.
  void Commit();

 private:
  Hdf5OutputFile file_;
  std::map<SampleKey, uint32_t> numbers_;
};

// Throws Error for a file that is damaged or is no file of results, as LoadResult() does for what
// contradicts itself.
class ResultReader {
 public:
  explicit ResultReader(const std::filesystem::path& path);

  const Hdf5InputFile& file() const { return file_; }
  // Throws Error naming `dataset` for a number that the file does not know.
  SamplePtr SampleOf(uint32_t number, const std::string& dataset) const;
  [[noreturn]] void Refuse(const std::string& object, const std::string& problem) const;

 private:
  Hdf5InputFile file_;
  std::vector<SamplePtr> samples_;
};

}  // namespace w8a8
