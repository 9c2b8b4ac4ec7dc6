// Typed, checked access to one object of a config file. Every message names the file, the field and
// the value found.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include <nlohmann/json_fwd.hpp>

namespace w8a8 {

// The top-level object of a JSON file; throws Error if it is no object or does not parse.
nlohmann::json ReadJsonObject(const std::filesystem::path& path);

// A view of one object; `where` is its place in the file ("vision_config." or ""). A field that is
// null counts as absent.
class JsonFields {
 public:
  JsonFields(const nlohmann::json& object, std::filesystem::path file, std::string where);

  bool Has(const char* key) const;
  int64_t Int(const char* key, int64_t fallback, int64_t minimum, int64_t maximum) const;
  // One number for both sides of a square, or a list [height, width].
  std::pair<int64_t, int64_t> Sides(const char* key, int64_t fallback, int64_t maximum) const;
  double Number(const char* key, double fallback) const;
  bool Bool(const char* key, bool fallback) const;
  std::string Text(const char* key, const std::string& fallback) const;
  // The object under `key`, if there is one.
  std::optional<JsonFields> Object(const char* key) const;
  const nlohmann::json& raw() const { return *object_; }
  const std::filesystem::path& file() const { return file_; }

 private:
  const nlohmann::json* Find(const char* key) const;
  [[noreturn]] void WrongType(const char* key, const char* wanted) const;

  const nlohmann::json* object_;  // outlives this view
  std::filesystem::path file_;
  std::string where_;
};

}  // namespace w8a8
