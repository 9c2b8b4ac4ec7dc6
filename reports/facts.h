// The facts of a report: an object of JSON, held so that headers need not include the library's.
#pragma once

#include <memory>

#include <nlohmann/json_fwd.hpp>

namespace w8a8 {

class Facts {
 public:
  Facts();  // {}
  explicit Facts(nlohmann::ordered_json object);
  Facts(const Facts& other);
  Facts(Facts&&) noexcept;
  Facts& operator=(Facts other) noexcept;
  ~Facts();

  nlohmann::ordered_json& json() { return *json_; }
  const nlohmann::ordered_json& json() const { return *json_; }

 private:
  std::unique_ptr<nlohmann::ordered_json> json_;  // an object
};

}  // namespace w8a8
