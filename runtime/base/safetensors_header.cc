#include "runtime/base/safetensors_header.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <set>
#include <utility>

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

constexpr std::string_view kMetadataKey = "__metadata__";

// Receives the header token by token, so that duplicate keys are seen (a parsed json value keeps
// only the last) and integers never pass through double.
class HeaderReader : public nlohmann::json::json_sax_t {
 public:
  explicit HeaderReader(const std::string& file) : file_(file) {}

  SafetensorsHeader Take() { return std::move(header_); }

  bool null() override { return Other("null"); }
  bool boolean(bool value) override { return Other(value ? "true" : "false"); }
  // The lexer calls this for a leading minus only.
  bool number_integer(int64_t value) override {
    return Number(std::nullopt, fmt::to_string(value));
  }
  bool number_unsigned(uint64_t value) override { return Number(value, fmt::to_string(value)); }
  // Fractions, exponents, and whole numbers that do not fit 64 bits.
  bool number_float(double, const std::string& text) override { return Number(std::nullopt, text); }
  bool binary(nlohmann::json::binary_t&) override { return Other("binary data"); }
  bool string(std::string& value) override;
  bool start_object(size_t) override;
  bool end_object() override;
  bool start_array(size_t) override;
  bool end_array() override;
  bool key(std::string& name) override;
  bool parse_error(size_t position, const std::string& token,
                   const nlohmann::json::exception& error) override;

 private:
  enum class State { kStart, kTop, kMetadata, kTensor, kShape, kOffsets, kIgnored };

  template <class... Args>
  [[noreturn]] void Refuse(fmt::format_string<Args...> format, Args&&... args) const {
    Fail(
        "{}: {} The file is damaged or was written by a faulty program; fetch or convert it again.",
        file_, fmt::format(format, std::forward<Args>(args)...));
  }

  std::string Place() const;
  bool Other(std::string_view what);
  bool Number(std::optional<uint64_t> value, const std::string& text);
  void Enter();
  void StartTensor();
  void FinishTensor();

  const std::string& file_;
  SafetensorsHeader header_;
  State state_ = State::kStart;
  int depth_ = 0;
  int ignored_from_depth_ = 0;  // while kIgnored: the depth at which the unknown value began
  bool seen_metadata_ = false;
  std::string name_;   // of the current tensor
  std::string field_;  // the last key inside __metadata__ or a tensor
  std::set<std::string, std::less<>> seen_fields_;
  SafetensorsHeader::Tensor tensor_;
  std::vector<uint64_t> offsets_;
};

std::string HeaderReader::Place() const {
  switch (state_) {
    case State::kStart:
      return "the header";
    case State::kTop:
      return fmt::format("header entry '{}'", PrintableName(name_));
    case State::kMetadata:
      return fmt::format("__metadata__ entry '{}'", PrintableName(field_));
    default:
      return fmt::format("tensor '{}', field '{}'", PrintableName(name_), PrintableName(field_));
  }
}

void HeaderReader::Enter() {
  if (++depth_ > kMaxSafetensorsNesting) {
    Refuse("{} is nested deeper than {} levels.", Place(), kMaxSafetensorsNesting);
  }
}

bool HeaderReader::Other(std::string_view what) {
  if (state_ == State::kIgnored) return true;
  if (state_ == State::kTensor && field_ != "dtype" && field_ != "shape" &&
      field_ != "data_offsets") {
    return true;
  }
  Refuse("{} holds {}, which has no place there.", Place(), what);
}

bool HeaderReader::Number(std::optional<uint64_t> value, const std::string& text) {
  if (state_ != State::kShape && state_ != State::kOffsets) {
    return Other("the number " + PrintableName(text));
  }
  if (!value || *value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    Refuse("{} holds {}, which is not a whole number from 0 to 2^63 - 1.", Place(),
           PrintableName(text));
  }
  if (state_ == State::kOffsets) {
    offsets_.push_back(*value);
    if (offsets_.size() > 2) Refuse("{} holds more than two numbers.", Place());
    return true;
  }
  tensor_.shape.push_back(static_cast<int64_t>(*value));
  if (tensor_.shape.size() > kMaxSafetensorsRank) {
    Refuse("{} has more than {} dimensions.", Place(), kMaxSafetensorsRank);
  }
  return true;
}

bool HeaderReader::string(std::string& value) {
  if (state_ == State::kMetadata) {
    header_.metadata.emplace(field_, value);
    return true;
  }
  if (state_ != State::kTensor || field_ != "dtype") {
    return Other(fmt::format("the string '{}'", PrintableName(value)));
  }
  const std::optional<Dtype> dtype = DtypeFromName(value);
  if (!dtype) {
    Refuse("tensor '{}' has the unknown dtype '{}'.", PrintableName(name_), PrintableName(value));
  }
  tensor_.dtype = *dtype;
  return true;
}

bool HeaderReader::start_object(size_t) {
  Enter();
  switch (state_) {
    case State::kStart:
      state_ = State::kTop;
      return true;
    case State::kTop:
      state_ = name_ == kMetadataKey ? State::kMetadata : State::kTensor;
      seen_fields_.clear();
      tensor_ = {};
      offsets_.clear();
      return true;
    case State::kIgnored:
      return true;
    default:
      Other("an object");
      state_ = State::kIgnored;
      ignored_from_depth_ = depth_;
      return true;
  }
}

bool HeaderReader::end_object() {
  --depth_;
  if (state_ == State::kIgnored) {
    if (depth_ < ignored_from_depth_) state_ = State::kTensor;
  } else if (state_ == State::kTensor) {
    FinishTensor();
    state_ = State::kTop;
  } else if (state_ == State::kMetadata) {
    state_ = State::kTop;
  }
  return true;
}

bool HeaderReader::start_array(size_t) {
  Enter();
  if (state_ == State::kIgnored) return true;
  if (state_ == State::kTensor && field_ == "shape") {
    state_ = State::kShape;
  } else if (state_ == State::kTensor && field_ == "data_offsets") {
    state_ = State::kOffsets;
  } else {
    Other("an array");
    state_ = State::kIgnored;
    ignored_from_depth_ = depth_;
  }
  return true;
}

bool HeaderReader::end_array() {
  --depth_;
  if (state_ != State::kIgnored || depth_ < ignored_from_depth_) state_ = State::kTensor;
  return true;
}

bool HeaderReader::key(std::string& name) {
  if (state_ == State::kIgnored) return true;
  if (state_ == State::kTop) {
    const bool repeated =
        name == kMetadataKey ? std::exchange(seen_metadata_, true) : header_.tensors.contains(name);
    if (repeated) Refuse("the name '{}' appears twice.", PrintableName(name));
    if (name.empty()) Refuse("a tensor has an empty name.");
    name_ = name;
    return true;
  }
  field_ = name;
  if (!seen_fields_.insert(name).second) Refuse("{} appears twice.", Place());
  return true;
}

void HeaderReader::FinishTensor() {
  for (const std::string_view field : {"dtype", "shape", "data_offsets"}) {
    if (!seen_fields_.contains(field)) {
      Refuse("tensor '{}' lacks the field '{}'.", PrintableName(name_), field);
    }
  }
  if (offsets_.size() != 2) {
    Refuse("tensor '{}': data_offsets holds {} numbers, not two.", PrintableName(name_),
           offsets_.size());
  }
  tensor_.begin = offsets_[0];
  tensor_.end = offsets_[1];
  header_.tensors.emplace(name_, std::move(tensor_));
  if (header_.tensors.size() > kMaxSafetensorsTensors) {
    Refuse("the header lists more than {} tensors.", kMaxSafetensorsTensors);
  }
}

bool HeaderReader::parse_error(size_t position, const std::string&,
                               const nlohmann::json::exception& error) {
  // "[json.exception.parse_error.101] parse error at line 1, column 9: syntax error while ..."
  const std::string_view text = error.what();
  const size_t reason = text.find(": ");
  Refuse("the header is not valid JSON at byte {}: {}.", position,
         PrintableName(reason == std::string_view::npos ? text : text.substr(reason + 2)));
}

using NamedTensor = std::pair<const std::string, SafetensorsHeader::Tensor>;

// The bytes of a tensor by its shape and dtype. The product leaves out zero extents, so that no
// part of a shape can overflow a later product.
uint64_t BytesOf(const NamedTensor& entry, const std::string& file) {
  const auto& name = entry.first;
  const auto& tensor = entry.second;
  uint64_t product = 1;
  bool empty = false;
  const auto multiply = [&](uint64_t factor) {
    if (__builtin_mul_overflow(product, factor, &product) ||
        product > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      Fail("{}: tensor '{}': the bits of shape [{}] do not fit 63 bits. The file is damaged.", file,
           PrintableName(name), fmt::join(tensor.shape, ", "));
    }
  };
  for (const int64_t extent : tensor.shape) {
    empty = empty || extent == 0;
    multiply(extent == 0 ? 1 : static_cast<uint64_t>(extent));
  }
  multiply(static_cast<uint64_t>(DtypeBits(tensor.dtype)));
  if (empty) return 0;
  if (product % 8 != 0) {
    Fail("{}: tensor '{}' [{}] of {} is {} bits long, not a whole number of bytes.", file,
         PrintableName(name), fmt::join(tensor.shape, ", "), DtypeName(tensor.dtype), product);
  }
  return product / 8;
}

// The tensors, sorted by place, must follow one another without hole or overlap and fill the data
// section to its last byte.
void CheckLayout(const SafetensorsHeader& header, uint64_t data_bytes, const std::string& file) {
  std::vector<const NamedTensor*> order;
  for (const NamedTensor& entry : header.tensors) order.push_back(&entry);
  std::ranges::sort(order, {}, [](const NamedTensor* entry) {
    return std::pair(entry->second.begin, entry->second.end);
  });
  uint64_t place = 0;
  for (const NamedTensor* entry : order) {
    const auto& [name, tensor] = *entry;
    if (tensor.begin != place || tensor.end < tensor.begin) {
      Fail(
          "{}: tensor '{}' claims bytes {} to {}, but the tensor before it ends at {} (a hole, an "
          "overlap or a negative size). The file is damaged; fetch or convert it again.",
          file, PrintableName(name), tensor.begin, tensor.end, place);
    }
    if (const uint64_t bytes = BytesOf(*entry, file); bytes != tensor.end - tensor.begin) {
      Fail(
          "{}: tensor '{}': {} of shape [{}] takes {} bytes, but data_offsets [{}, {}] span {}. "
          "The file is damaged; fetch or convert it again.",
          file, PrintableName(name), DtypeName(tensor.dtype), fmt::join(tensor.shape, ", "), bytes,
          tensor.begin, tensor.end, tensor.end - tensor.begin);
    }
    place = tensor.end;
  }
  if (place > data_bytes) {
    Fail(
        "{}: is {} bytes shorter than its header says ({} of {} data bytes). The download was cut "
        "short; fetch it again.",
        file, place - data_bytes, data_bytes, place);
  }
  if (place < data_bytes) {
    Fail(
        "{}: has {} bytes after its last tensor, which the format forbids. The file is damaged; "
        "fetch or convert it again.",
        file, data_bytes - place);
  }
}

}  // namespace

std::string PrintableName(std::string_view name) {
  constexpr size_t kLongest = 200;
  std::string text(name.substr(0, kLongest));
  for (char& c : text) {
    if (c < ' ' || c > '~') c = '?';
  }
  return name.size() > kLongest ? text + "..." : text;
}

SafetensorsHeader ParseSafetensorsHeader(std::string_view json, uint64_t data_bytes,
                                         const std::string& file) {
  if (json.empty() || json.front() != '{') {
    Fail(
        "{}: the header does not begin with '{{'. This is not a safetensors file, or it is "
        "damaged.",
        file);
  }
  // The parser takes a zero byte for the end of its input.
  if (const size_t zero = json.find('\0'); zero != std::string_view::npos) {
    Fail("{}: the header holds a zero byte at byte {}. The file is damaged; fetch it again.", file,
         zero);
  }
  HeaderReader reader(file);
  W8A8_CHECK(nlohmann::json::sax_parse(json.begin(), json.end(), &reader));
  SafetensorsHeader header = reader.Take();
  CheckLayout(header, data_bytes, file);
  return header;
}

}  // namespace w8a8
