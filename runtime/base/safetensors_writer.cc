#include <algorithm>
#include <utility>

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "runtime/base/atomic_file.h"
#include "runtime/base/error.h"
#include "runtime/base/interrupt.h"
#include "runtime/base/safetensors.h"
#include "runtime/base/safetensors_header.h"

namespace w8a8 {
namespace {

// A JSON string literal. Names that are not UTF-8 can come from no valid source file.
std::string Quoted(const std::string& text) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::type_error&) {
    Fail(
        "the tensor name or metadata '{}' is not UTF-8 and cannot be written to a safetensors "
        "file.",
        PrintableName(text));
  }
}

std::string MetadataItem(const std::map<std::string, std::string>& metadata) {
  std::string pairs;
  for (const auto& [key, value] : metadata) {
    pairs += fmt::format("{}{}:{}", pairs.empty() ? "" : ",", Quoted(key), Quoted(value));
  }
  return fmt::format("\"__metadata__\":{{{}}}", pairs);
}

}  // namespace

void SafetensorsWriter::Add(std::string name, Dtype dtype, std::vector<int64_t> shape,
                            std::span<const std::byte> bytes) {
  Add(std::move(name), dtype, std::move(shape), [bytes](const Append& append) { append(bytes); });
  W8A8_CHECK(entries_.back().bytes == bytes.size());
}

void SafetensorsWriter::Add(std::string name, Dtype dtype, std::vector<int64_t> shape,
                            Source source) {
  W8A8_CHECK(!name.empty() && name != "__metadata__");
  W8A8_CHECK(shape.size() <= kMaxSafetensorsRank);
  W8A8_CHECK(std::ranges::none_of(entries_, [&](const Entry& e) { return e.name == name; }));
  const TensorView view{name, dtype, shape, {}};
  const uint64_t bits =
      static_cast<uint64_t>(view.elements()) * static_cast<uint64_t>(DtypeBits(dtype));
  W8A8_CHECK(bits % 8 == 0);
  entries_.push_back({std::move(name), dtype, std::move(shape), bits / 8, std::move(source)});
}

void SafetensorsWriter::SetMetadata(std::string key, std::string value) {
  metadata_.insert_or_assign(std::move(key), std::move(value));
}

std::vector<const SafetensorsWriter::Entry*> SafetensorsWriter::InOrder() const {
  std::vector<const Entry*> order;
  for (const Entry& entry : entries_) order.push_back(&entry);
  std::ranges::sort(order, [](const Entry* a, const Entry* b) {
    return std::pair(b->dtype, std::string_view(a->name)) <
           std::pair(a->dtype, std::string_view(b->name));
  });
  return order;
}

std::string SafetensorsWriter::Header(const std::vector<const Entry*>& order) const {
  std::vector<std::string> items;
  if (!metadata_.empty()) items.push_back(MetadataItem(metadata_));
  uint64_t place = 0;
  for (const Entry* entry : order) {
    const uint64_t end = place + entry->bytes;
    items.push_back(fmt::format(R"({}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
                                Quoted(entry->name), DtypeName(entry->dtype),
                                fmt::join(entry->shape, ","), place, end));
    place = end;
  }
  std::string header = fmt::format("{{{}}}", fmt::join(items, ","));
  header.resize((header.size() + 7) / 8 * 8, ' ');
  return header;
}

void SafetensorsWriter::Send(const std::string& name, const Append& append) const {
  const std::vector<const Entry*> order = InOrder();
  const std::string header = Header(order);
  if (header.size() > kMaxSafetensorsHeaderBytes) {
    Fail("{}: a header of {} bytes is more than the {} that the format allows.", name,
         header.size(), kMaxSafetensorsHeaderBytes);
  }
  const uint64_t header_bytes = header.size();
  append(std::as_bytes(std::span(&header_bytes, 1)));
  append(std::as_bytes(std::span(header)));
  for (const Entry* entry : order) {
    ThrowIfInterrupted();
    uint64_t appended = 0;
    entry->source([&](std::span<const std::byte> bytes) {
      append(bytes);
      appended += bytes.size();
    });
    W8A8_CHECK(appended == entry->bytes);
  }
}

void SafetensorsWriter::Write(const std::filesystem::path& path) const {
  AtomicFile file(path);
  Send(path.string(), [&file](std::span<const std::byte> bytes) { file.Append(bytes); });
  file.Commit();
}

std::string SafetensorsWriter::Bytes() const {
  std::string all;
  Send("a safetensors file", [&all](std::span<const std::byte> bytes) {
    all.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  });
  return all;
}

}  // namespace w8a8
