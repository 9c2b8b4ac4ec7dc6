#include <algorithm>
#include <cmath>
#include <system_error>

#include "runtime/base/file_seal.h"
#include "runtime/base/hdf5_file.h"
#include "runtime/base/hdf5_handle.h"

namespace w8a8 {

using hdf5::Handle;

struct Hdf5InputFile::State {
  std::filesystem::path path;
  std::string name;
  Handle file;
};

namespace {

constexpr uint64_t kMaxStrings = uint64_t{1} << 24;
constexpr uint64_t kMaxTextBytes = uint64_t{1} << 20;
constexpr uint64_t kMaxChildren = uint64_t{1} << 20;

// Two objects at once: the dataset and its extent.
struct Dataset {
  Handle dataset;
  Hdf5Shape shape;
};

Hdf5Shape ShapeOfSpace(const std::string& file, const std::string& object, hid_t space) {
  const int rank = H5Sget_simple_extent_ndims(space);
  if (rank < 0) hdf5::FailAt(file, object, "has an extent that cannot be read");
  std::vector<hsize_t> extents(static_cast<size_t>(rank));
  if (H5Sget_simple_extent_dims(space, extents.data(), nullptr) < 0) {
    hdf5::FailAt(file, object, "has an extent that cannot be read");
  }
  Hdf5Shape shape;
  for (const hsize_t extent : extents) {
    if (extent > hsize_t{1} << 62) hdf5::FailAt(file, object, "claims an impossible extent");
    shape.push_back(static_cast<int64_t>(extent));
  }
  return shape;
}

Dataset OpenDataset(const std::string& file, hid_t file_id, const std::string& path) {
  Dataset opened;
  opened.dataset = Handle(H5Dopen2(file_id, path.c_str(), H5P_DEFAULT), H5Dclose);
  if (!opened.dataset.valid()) hdf5::FailAt(file, path, "is missing or damaged");
  const Handle space(H5Dget_space(opened.dataset.id()), H5Sclose);
  if (!space.valid()) hdf5::FailAt(file, path, "has an extent that cannot be read");
  opened.shape = ShapeOfSpace(file, path, space.id());
  return opened;
}

// The number of elements; refuses a shape other than the expected one and more than max_bytes.
uint64_t CheckedElements(const std::string& file, const std::string& object, const Hdf5Shape& shape,
                         const Hdf5Shape& expected, size_t element_bytes, uint64_t max_bytes) {
  bool matches = shape.size() == expected.size();
  for (size_t i = 0; matches && i < shape.size(); ++i) {
    matches = expected[i] < 0 || shape[i] == expected[i];
  }
  if (!matches) {
    Fail("{}: '{}' has the shape {}; {} is expected here.", file, object, Hdf5ShapeText(shape),
         Hdf5ShapeText(expected));
  }
  const uint64_t most = max_bytes / element_bytes;
  uint64_t elements = 1;
  for (const int64_t extent : shape) {
    if (extent == 0) return 0;
    if (elements > most / static_cast<uint64_t>(extent)) {
      Fail("{}: '{}' claims the shape {}, more than the {} bytes allowed for it.", file, object,
           Hdf5ShapeText(shape), max_bytes);
    }
    elements *= static_cast<uint64_t>(extent);
  }
  return elements;
}

template <class T>
bool HoldsType(hid_t stored) {
  const Handle little = hdf5::ElementType<T>();
  const Handle big(H5Tcopy(little.id()), H5Tclose);
  H5Tset_order(big.id(), H5T_ORDER_BE);
  return H5Tequal(stored, little.id()) > 0 || H5Tequal(stored, big.id()) > 0;
}

std::string Trimmed(const char* text, size_t bytes) {
  return {text, static_cast<size_t>(std::find(text, text + bytes, '\0') - text)};
}

// Copies out and releases strings of variable length. Null pointers are empty strings.
std::vector<std::string> TakeVariableStrings(std::vector<char*>& pointers, hid_t type,
                                             hid_t space) {
  std::vector<std::string> strings;
  strings.reserve(pointers.size());
  for (const char* text : pointers) strings.emplace_back(text == nullptr ? "" : text);
  H5Dvlen_reclaim(type, space, H5P_DEFAULT, pointers.data());
  return strings;
}

struct AttributeParts {
  Handle attribute, type, space;
};

AttributeParts OpenAttribute(const std::string& file, hid_t file_id, const std::string& object,
                             const std::string& name, H5T_class_t wanted,
                             std::string_view wanted_text) {
  AttributeParts parts;
  parts.attribute = Handle(
      H5Aopen_by_name(file_id, object.c_str(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  if (!parts.attribute.valid()) {
    hdf5::FailAt(file, object, fmt::format("has no readable attribute '{}'", name));
  }
  parts.type = Handle(H5Aget_type(parts.attribute.id()), H5Tclose);
  parts.space = Handle(H5Aget_space(parts.attribute.id()), H5Sclose);
  const bool usable = parts.type.valid() && parts.space.valid();
  if (!usable) hdf5::FailAt(file, object, fmt::format("has a damaged attribute '{}'", name));
  if (H5Tget_class(parts.type.id()) != wanted ||
      H5Sget_simple_extent_npoints(parts.space.id()) != 1) {
    Fail("{}: '{}' has an attribute '{}' that is not {}.", file, object, name, wanted_text);
  }
  return parts;
}

}  // namespace

std::string Hdf5ShapeText(const Hdf5Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    text += i > 0 ? ", " : "";
    text += shape[i] < 0 ? "any" : fmt::format("{}", shape[i]);
  }
  return text + "]";
}

Handle hdf5::OpenReadOnly(const std::filesystem::path& path) {
  Silence();
  std::error_code error;
  if (!std::filesystem::exists(path, error)) Fail("{}: does not exist.", path.string());
  if (!std::filesystem::is_regular_file(path, error)) Fail("{}: is not a file.", path.string());
  if (H5Fis_hdf5(path.c_str()) <= 0) {
    Fail("{}: is not an HDF5 file, cannot be read or has lost its beginning.", path.string());
  }
  // The library frees wild pointers where the heap of variable-length text is damaged.
  if (!SealFits(path)) {
    Fail("{}: is damaged: its bytes are not those that were written. Make or copy it again.",
         path.string());
  }
  const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_fclose_degree(access.id(), H5F_CLOSE_STRONG);
  H5Pset_file_locking(access.id(), false, true);  // some network file systems have no locks
  Handle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.id()), H5Fclose);
  if (!file.valid()) FailAt(path.string(), "/", "cannot be opened");
  return file;
}

Hdf5InputFile::Hdf5InputFile(const std::filesystem::path& path)
    : state_(std::make_unique<State>()) {
  state_->path = path;
  state_->name = path.string();
  state_->file = hdf5::OpenReadOnly(path);
}

Hdf5InputFile::Hdf5InputFile(Hdf5InputFile&&) noexcept = default;
Hdf5InputFile& Hdf5InputFile::operator=(Hdf5InputFile&&) noexcept = default;
Hdf5InputFile::~Hdf5InputFile() = default;

const std::filesystem::path& Hdf5InputFile::path() const { return state_->path; }

bool Hdf5InputFile::Has(const std::string& object) const {
  if (object == "/") return true;
  // H5Lexists wants every parent to exist.
  for (size_t end = object.find('/', 1);; end = object.find('/', end + 1)) {
    const std::string part = object.substr(0, end);
    if (H5Lexists(state_->file.id(), part.c_str(), H5P_DEFAULT) <= 0) return false;
    if (end == std::string::npos) return true;
  }
}

std::vector<std::string> Hdf5InputFile::Children(const std::string& group) const {
  const Handle opened(H5Gopen2(state_->file.id(), group.c_str(), H5P_DEFAULT), H5Gclose);
  if (!opened.valid()) hdf5::FailAt(state_->name, group, "is missing, damaged or not a group");
  H5G_info_t info;
  if (H5Gget_info(opened.id(), &info) < 0) hdf5::FailAt(state_->name, group, "is damaged");
  if (info.nlinks > kMaxChildren) {
    Fail("{}: '{}' claims {} members; the limit is {}.", state_->name, group, info.nlinks,
         kMaxChildren);
  }
  std::vector<std::string> names;
  const auto collect = [](hid_t, const char* name, const H5L_info_t*, void* out) -> herr_t {
    static_cast<std::vector<std::string>*>(out)->emplace_back(name);
    return 0;
  };
  if (H5Literate(opened.id(), H5_INDEX_NAME, H5_ITER_NATIVE, nullptr, collect, &names) < 0) {
    hdf5::FailAt(state_->name, group, "has members that cannot be listed");
  }
  std::sort(names.begin(), names.end());
  return names;
}

Hdf5Shape Hdf5InputFile::ShapeOf(const std::string& dataset) const {
  return OpenDataset(state_->name, state_->file.id(), dataset).shape;
}

template <class T>
std::vector<T> Hdf5InputFile::Read(const std::string& dataset, const Hdf5Shape& shape,
                                   uint64_t max_bytes) const {
  const Dataset opened = OpenDataset(state_->name, state_->file.id(), dataset);
  const Handle stored(H5Dget_type(opened.dataset.id()), H5Tclose);
  if (!stored.valid()) hdf5::FailAt(state_->name, dataset, "has a damaged type");
  if (!HoldsType<T>(stored.id())) {
    Fail("{}: '{}' does not hold {} values.", state_->name, dataset, hdf5::TypeName<T>());
  }
  const uint64_t elements =
      CheckedElements(state_->name, dataset, opened.shape, shape, sizeof(T), max_bytes);
  std::vector<T> values(elements);
  const Handle type = hdf5::ElementType<T>();
  if (elements > 0 &&
      H5Dread(opened.dataset.id(), type.id(), H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()) < 0) {
    hdf5::FailAt(state_->name, dataset, "cannot be read");
  }
  return values;
}

std::vector<std::string> Hdf5InputFile::ReadStrings(const std::string& dataset,
                                                    int64_t count) const {
  const Dataset opened = OpenDataset(state_->name, state_->file.id(), dataset);
  const Handle stored(H5Dget_type(opened.dataset.id()), H5Tclose);
  if (!stored.valid() || H5Tget_class(stored.id()) != H5T_STRING) {
    Fail("{}: '{}' does not hold text.", state_->name, dataset);
  }
  const bool variable = H5Tis_variable_str(stored.id()) > 0;
  const size_t bytes = variable ? sizeof(char*) : H5Tget_size(stored.id());
  if (bytes == 0 || bytes > kMaxTextBytes) {
    Fail("{}: '{}' holds strings of {} bytes; the limit is {}.", state_->name, dataset, bytes,
         kMaxTextBytes);
  }
  const uint64_t elements =
      CheckedElements(state_->name, dataset, opened.shape, {count}, bytes,
                      std::min<uint64_t>(kMaxStrings * bytes, kMaxDatasetBytes));
  if (elements == 0) return {};
  const auto read = [&](void* out) {
    if (H5Dread(opened.dataset.id(), stored.id(), H5S_ALL, H5S_ALL, H5P_DEFAULT, out) < 0) {
      hdf5::FailAt(state_->name, dataset, "cannot be read");
    }
  };
  if (variable) {
    std::vector<char*> pointers(elements, nullptr);
    read(pointers.data());
    const Handle space(H5Dget_space(opened.dataset.id()), H5Sclose);
    return TakeVariableStrings(pointers, stored.id(), space.id());
  }
  std::string padded(elements * bytes, '\0');
  read(padded.data());
  std::vector<std::string> strings;
  strings.reserve(elements);
  for (uint64_t i = 0; i < elements; ++i) {
    strings.push_back(Trimmed(padded.data() + i * bytes, bytes));
  }
  return strings;
}

bool Hdf5InputFile::HasAttribute(const std::string& object, const std::string& name) const {
  return H5Aexists_by_name(state_->file.id(), object.c_str(), name.c_str(), H5P_DEFAULT) > 0;
}

std::string Hdf5InputFile::TextAttribute(const std::string& object, const std::string& name) const {
  const AttributeParts parts =
      OpenAttribute(state_->name, state_->file.id(), object, name, H5T_STRING, "one text");
  const auto read = [&](void* out) {
    if (H5Aread(parts.attribute.id(), parts.type.id(), out) < 0) {
      hdf5::FailAt(state_->name, object, fmt::format("has a damaged attribute '{}'", name));
    }
  };
  if (H5Tis_variable_str(parts.type.id()) > 0) {
    std::vector<char*> pointer(1, nullptr);
    read(pointer.data());
    return TakeVariableStrings(pointer, parts.type.id(), parts.space.id()).front();
  }
  const size_t bytes = H5Tget_size(parts.type.id());
  if (bytes > kMaxTextBytes) {
    Fail("{}: '{}' has an attribute '{}' of {} bytes; the limit is {}.", state_->name, object, name,
         bytes, kMaxTextBytes);
  }
  std::string padded(bytes, '\0');
  read(padded.data());
  return Trimmed(padded.data(), bytes);
}

uint64_t Hdf5InputFile::UnsignedAttribute(const std::string& object,
                                          const std::string& name) const {
  const AttributeParts parts =
      OpenAttribute(state_->name, state_->file.id(), object, name, H5T_INTEGER, "one integer");
  // A negative value would silently become 0 in the library's conversion.
  if (H5Tget_sign(parts.type.id()) != H5T_SGN_NONE) {
    const int64_t value = SignedAttribute(object, name);
    if (value < 0) {
      Fail("{}: '{}' has the attribute '{}' = {}; it cannot be negative.", state_->name, object,
           name, value);
    }
    return static_cast<uint64_t>(value);
  }
  uint64_t value = 0;
  if (H5Aread(parts.attribute.id(), H5T_NATIVE_UINT64, &value) < 0) {
    hdf5::FailAt(state_->name, object, fmt::format("has a damaged attribute '{}'", name));
  }
  return value;
}

int64_t Hdf5InputFile::SignedAttribute(const std::string& object, const std::string& name) const {
  const AttributeParts parts =
      OpenAttribute(state_->name, state_->file.id(), object, name, H5T_INTEGER, "one integer");
  if (H5Tget_sign(parts.type.id()) == H5T_SGN_NONE && H5Tget_size(parts.type.id()) >= 8) {
    const uint64_t value = UnsignedAttribute(object, name);
    if (value > static_cast<uint64_t>(INT64_MAX)) {
      Fail("{}: '{}' has the attribute '{}' = {}, which is too large.", state_->name, object, name,
           value);
    }
    return static_cast<int64_t>(value);
  }
  int64_t value = 0;
  if (H5Aread(parts.attribute.id(), H5T_NATIVE_INT64, &value) < 0) {
    hdf5::FailAt(state_->name, object, fmt::format("has a damaged attribute '{}'", name));
  }
  return value;
}

double Hdf5InputFile::RealAttribute(const std::string& object, const std::string& name) const {
  const AttributeParts parts =
      OpenAttribute(state_->name, state_->file.id(), object, name, H5T_FLOAT, "one real number");
  double value = 0;
  if (H5Aread(parts.attribute.id(), H5T_NATIVE_DOUBLE, &value) < 0) {
    hdf5::FailAt(state_->name, object, fmt::format("has a damaged attribute '{}'", name));
  }
  return value;
}

#define W8A8_INSTANTIATE(T)                                                                      \
  template std::vector<T> Hdf5InputFile::Read<T>(const std::string&, const Hdf5Shape&, uint64_t) \
      const;
W8A8_FOR_EACH_HDF5_TYPE(W8A8_INSTANTIATE)
#undef W8A8_INSTANTIATE

}  // namespace w8a8
