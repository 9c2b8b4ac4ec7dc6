// Which modules the targets of compressed-tensors name.
#pragma once

#include <map>
#include <optional>
#include <regex>
#include <string>

#include "runtime/encoder/quantization_record.h"

namespace w8a8 {

// Whether a pattern of a file is longer than anybody's, with its parts repeated as their {n} or
// {m,n} say: (.*){16000} takes 0.5 s to search one name.
bool IsTooLong(const std::string& pattern);

// Keeps compiled patterns: an export of ours has one for every layer. Not thread-safe. All throw
// Error where the list that they go by is none of texts.
class ModuleMatcher {
 public:
  // How well the `targets` of an object match a module. 0: by name or pattern; 1: by class; 2: not
  // at all.
  int Rank(const JsonFields& targeted, const std::string& module);
  // Whether the `targets` of a group could be meant for these codes: they match an end of the
  // module's name, or its class, or cannot be read here, or there are none.
  bool MayTarget(const JsonFields& group, const StoredCodes& codes);
  // The entry of the record's `ignore` that matches the module; "" if none does.
  std::string IgnoredBy(const JsonFields& record, const std::string& module);

 private:
  bool MatchesName(const std::string& target, const std::string& module);
  bool MatchesPattern(const std::string& pattern, const std::string& module);
  const std::optional<std::regex>& Compiled(const std::string& pattern);
  bool IsReadable(const std::string& target, const std::string& file);

  std::map<std::string, std::optional<std::regex>> patterns_;  // nullopt: none in ECMAScript
  std::map<std::string, bool> broken_;                         // in Python's syntax too
};

}  // namespace w8a8
