// Checked access to what a JSON file holds: configs, plans, processors, reports. Every message
// names the file, the place in it, the value that stands there and what is expected.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace w8a8 {

// The Json of all templates here is nlohmann::json, nlohmann::ordered_json, or this one, whose
// decimals are rounded once, straight to binary32.
using FloatJson =
    nlohmann::basic_json<std::map, std::vector, std::string, bool, int64_t, uint64_t, float>;

enum class DoubledKeys : uint8_t { kLastCounts, kRefused };

// Throws Error naming `name` if the text is not JSON or nests deeper than 64 levels: the library
// copies, prints and compares values recursively, so that 100,000 brackets end in a stack overflow.
// A byte-order mark and Python's NaN, Infinity and -Infinity are read; a view refuses those three
// where their value is asked for.
template <class Json>
Json ParseJson(std::string_view text, const std::string& name,
               DoubledKeys doubled = DoubledKeys::kLastCounts);

// The top-level object of a file of at most `max_bytes`; throws Error if it is none.
template <class Json = nlohmann::json>
Json ReadJsonObject(const std::filesystem::path& path, size_t max_bytes = size_t{64} << 20);

// `value` as text, `indent` spaces a level or on one line for -1. What is not finite is written as
// Python's json does, not as null; bytes that are no UTF-8 are replaced.
template <class Json>
std::string JsonText(const Json& value, int indent = -1);

// A view of one value of a file. `place` is where it stands there: "vision_config.hidden_size",
// "arms[3]", or empty for the whole.
template <class Json>
class JsonView {
 public:
  // `value` outlives the view. `file` begins the messages: a path, or "plan.json: site 'x'".
  JsonView(const Json& value, std::string file, std::string place)
      : value_(&value), file_(std::move(file)), place_(std::move(place)) {}

  const Json& raw() const { return *value_; }
  const std::string& file() const { return file_; }
  const std::string& place() const { return place_; }

  // The value itself. All throw Error where it is of another kind.
  bool Bool() const;
  std::string Text() const;
  double Number() const;  // finite
  int64_t Int(int64_t minimum, int64_t maximum) const;
  uint64_t Count() const;
  std::vector<JsonView> Elements() const;                         // of a list
  std::vector<std::pair<std::string, JsonView>> Members() const;  // of an object
  [[noreturn]] void Refuse(const std::string& wanted) const;      // "... is 3; expected a list."

  // A member of an object. One that is null counts as absent, but for At().
  std::optional<JsonView> Find(const char* key) const;
  bool Has(const char* key) const { return Find(key).has_value(); }
  JsonView At(const char* key) const;  // throws Error where there is none
  std::optional<JsonView> Object(const char* key) const;
  // Throws Error, with a suggestion, where there is any other member.
  void AllowOnly(std::initializer_list<const char*> keys) const;

  // Its value, or `fallback` where it is absent.
  bool Bool(const char* key, bool fallback) const;
  std::string Text(const char* key, const std::string& fallback) const;
  double Number(const char* key, double fallback) const;
  int64_t Int(const char* key, int64_t fallback, int64_t minimum, int64_t maximum) const;
  // One number for both sides of a square, or a list [height, width].
  std::pair<int64_t, int64_t> Sides(const char* key, int64_t fallback, int64_t maximum) const;

 private:
  JsonView Member(const std::string& key, const Json& value) const;

  const Json* value_;
  std::string file_;
  std::string place_;
};

using JsonFields = JsonView<nlohmann::json>;

}  // namespace w8a8
