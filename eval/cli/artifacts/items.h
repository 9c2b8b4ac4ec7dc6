// An artifact as a flat list of named values: what `diff` compares.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace w8a8 {

struct Item {
  std::string text;    // what people are shown: "0.031", "float32 [1152]"
  std::string digest;  // equal values have equal ones
  // The values, for a message about how they differ; null where they are not numbers or few.
  std::function<std::vector<double>()> numbers;
};
// By place: "/sites/blocks.0.attn.qkv/counts", "arms/int8/plan/top1/value", "head.probe"; in a
// folder with the file before it: "report.json: arms/int8/plan/top1/value".
using Items = std::map<std::string, Item>;

// What depends on the run: run.json, report.h5:/run, the page's marked section.
enum class RunFacts { kCompared, kIgnored };

// Of one file of any name or of all the files of a folder but hidden ones; those that this tool
// does not write (a tokenizer, a template) are one item each, their SHA-256. Elements of JSON lists
// go by their name, site, arm, view or file where they have one; null counts as absent. Throws
// Error for files that are damaged. Nothing but the digests is kept of the values.
Items ItemsOf(const std::filesystem::path& path, RunFacts run);

}  // namespace w8a8
