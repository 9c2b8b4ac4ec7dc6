#include "runtime/base/safetensors.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include <fmt/ranges.h>
#include <sys/mman.h>

#include "runtime/base/error.h"
#include "runtime/base/mapped_file.h"
#include "runtime/base/names.h"
#include "runtime/base/safetensors_header.h"

namespace w8a8 {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

// What the first bytes of a file that is no safetensors file look like, and the way out.
std::string_view OtherFormat(std::string_view start) {
  struct Magic {
    std::string_view bytes;
    std::string_view meaning;
  };
  constexpr std::string_view kConvert =
      "It looks like a PyTorch checkpoint; convert it: in Python, "
      "safetensors.torch.save_file(torch.load(file), 'model.safetensors').";
  static constexpr std::array<Magic, 9> kMagics = {{
      {"version https://git-lfs",
       "It is a git-lfs pointer, not the file itself; fetch it with: git lfs pull."},
      {"PK\x03\x04", kConvert},
      {"\x80\x02", kConvert},
      {"\x80\x03", kConvert},
      {"\x80\x04", kConvert},
      {"\x80\x05", kConvert},
      {"\x89HDF", "It is an HDF5 file; a safetensors file is needed."},
      {"GGUF", "It is a GGUF file; a safetensors file is needed."},
      {"<", "It looks like a web page, saved in place of the file; fetch it again."},
  }};
  for (const Magic& magic : kMagics) {
    if (start.starts_with(magic.bytes)) return magic.meaning;
  }
  return "It is not a safetensors file, or it is damaged; fetch or convert it again.";
}

SafetensorsHeader ReadHeader(std::string_view contents, const std::string& file) {
  uint64_t header_bytes = 0;
  if (contents.size() < sizeof(header_bytes)) {
    Fail("{}: is {} bytes long, too short for a safetensors file. {}", file, contents.size(),
         OtherFormat(contents));
  }
  std::memcpy(&header_bytes, contents.data(), sizeof(header_bytes));
  contents.remove_prefix(sizeof(header_bytes));
  const auto refuse = [&](std::string_view bound, uint64_t limit) {
    Fail("{}: its first 8 bytes announce a header of {} bytes, more than the {} {}. {}", file,
         header_bytes, limit, bound,
         OtherFormat({contents.data() - sizeof(header_bytes), contents.size() + 8}));
  };
  if (header_bytes > kMaxSafetensorsHeaderBytes) {
    refuse("that the format allows", kMaxSafetensorsHeaderBytes);
  }
  if (header_bytes > contents.size()) refuse("bytes that follow", contents.size());
  return ParseSafetensorsHeader(contents.substr(0, header_bytes), contents.size() - header_bytes,
                                file);
}

}  // namespace

void ReleasePages(std::span<const std::byte> mapped) {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  // The pages at both ends may hold neighbours that are still read.
  const size_t skipped = (page - reinterpret_cast<uintptr_t>(mapped.data()) % page) % page;
  if (mapped.size() < skipped + page) return;
  const std::span<const std::byte> whole =
      mapped.subspan(skipped, (mapped.size() - skipped) / page * page);
  // A refusal costs memory, nothing else.
  (void)::madvise(const_cast<std::byte*>(whole.data()), whole.size(), MADV_DONTNEED);
}

struct SafetensorsFile::Impl {
  explicit Impl(const std::filesystem::path& from) : path(from), mapping(from) {
    const std::span<const std::byte> bytes = mapping.bytes();
    const std::string_view contents(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    SafetensorsHeader header = ReadHeader(contents, path.string());
    uint64_t data_bytes = 0;
    for (const auto& [name, tensor] : header.tensors) data_bytes = std::max(data_bytes, tensor.end);
    const std::span<const std::byte> data = bytes.last(data_bytes);
    for (auto& [name, tensor] : header.tensors) {
      tensors.emplace(name, TensorView{name, tensor.dtype, std::move(tensor.shape),
                                       data.subspan(tensor.begin, tensor.end - tensor.begin)});
    }
    metadata = std::move(header.metadata);
  }

  std::filesystem::path path;
  MappedFile mapping;
  std::map<std::string, TensorView, std::less<>> tensors;
  std::map<std::string, std::string> metadata;
};

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : impl_(std::make_unique<Impl>(path)) {}
SafetensorsFile::~SafetensorsFile() = default;
SafetensorsFile::SafetensorsFile(SafetensorsFile&&) noexcept = default;
SafetensorsFile& SafetensorsFile::operator=(SafetensorsFile&&) noexcept = default;

const std::filesystem::path& SafetensorsFile::path() const { return impl_->path; }

const std::map<std::string, TensorView, std::less<>>& SafetensorsFile::tensors() const {
  return impl_->tensors;
}

const std::map<std::string, std::string>& SafetensorsFile::metadata() const {
  return impl_->metadata;
}

const TensorView* SafetensorsFile::Find(std::string_view name) const {
  const auto entry = impl_->tensors.find(name);
  return entry == impl_->tensors.end() ? nullptr : &entry->second;
}

const TensorView& SafetensorsFile::Get(std::string_view name) const {
  if (const TensorView* tensor = Find(name)) return *tensor;
  std::vector<std::string> names;
  for (const auto& [other, tensor] : impl_->tensors) names.push_back(PrintableName(other));
  const std::vector<std::string> close = CloseNames(name, names);
  const std::string hint = close.empty()
                               ? "None has a name like it."
                               : fmt::format("Close names: '{}'.", fmt::join(close, "', '"));
  Fail("{}: no tensor '{}' among its {}. {}", impl_->path.string(), PrintableName(name),
       impl_->tensors.size(), hint);
}

}  // namespace w8a8
