#include "reports/facts.h"

#include <nlohmann/json.hpp>

#include "runtime/base/error.h"

namespace w8a8 {

using Json = nlohmann::ordered_json;

Facts::Facts() : Facts(Json::object()) {}

Facts::Facts(Json object) : json_(std::make_unique<Json>(std::move(object))) {
  W8A8_CHECK(json_->is_object());
}

Facts::Facts(const Facts& other) : Facts(*other.json_) {}
Facts::Facts(Facts&&) noexcept = default;
Facts::~Facts() = default;

Facts& Facts::operator=(Facts other) noexcept {
  json_ = std::move(other.json_);
  return *this;
}

}  // namespace w8a8
