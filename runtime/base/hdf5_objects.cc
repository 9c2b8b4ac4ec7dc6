#include "runtime/base/hdf5_objects.h"

#include <algorithm>
#include <cstring>

#include "runtime/base/hdf5_handle.h"

namespace w8a8 {

using hdf5::Handle;

struct Hdf5Objects::State {
  std::string name;
  Handle file;
  std::vector<Hdf5Object> objects;
};

namespace {

std::string TypeText(hid_t type) {
  switch (H5Tget_class(type)) {
    case H5T_INTEGER:
      return fmt::format("{}int{}", H5Tget_sign(type) == H5T_SGN_NONE ? "u" : "",
                         8 * H5Tget_size(type));
    case H5T_FLOAT:
      return fmt::format("float{}", 8 * H5Tget_size(type));
    case H5T_STRING:
      return "text";
    default:
      return "opaque";
  }
}

Hdf5Shape ShapeOfSpace(hid_t space) {
  const int rank = std::max(0, H5Sget_simple_extent_ndims(space));
  std::vector<hsize_t> extents(static_cast<size_t>(rank));
  H5Sget_simple_extent_dims(space, extents.data(), nullptr);
  return {extents.begin(), extents.end()};
}

// A dataset or an attribute: what is read differs in one function only.
struct Opened {
  Handle id, type, space;
  bool attribute = false;

  bool Read(hid_t as, void* out) const {
    const herr_t status = attribute ? H5Aread(id.id(), as, out)
                                    : H5Dread(id.id(), as, H5S_ALL, H5S_ALL, H5P_DEFAULT, out);
    return status >= 0;
  }
};

Opened Open(hid_t file, const std::string& path) {
  Opened opened;
  const size_t at = path.rfind('@');
  opened.attribute = at != std::string::npos;
  if (opened.attribute) {
    const std::string owner = at == 1 ? "/" : path.substr(0, at);
    opened.id = Handle(
        H5Aopen_by_name(file, owner.c_str(), path.c_str() + at + 1, H5P_DEFAULT, H5P_DEFAULT),
        H5Aclose);
    opened.type = Handle(H5Aget_type(opened.id.id()), H5Tclose);
    opened.space = Handle(H5Aget_space(opened.id.id()), H5Sclose);
  } else {
    opened.id = Handle(H5Dopen2(file, path.c_str(), H5P_DEFAULT), H5Dclose);
    opened.type = Handle(H5Dget_type(opened.id.id()), H5Tclose);
    opened.space = Handle(H5Dget_space(opened.id.id()), H5Sclose);
  }
  return opened;
}

struct Walk {
  hid_t file;
  std::vector<Hdf5Object>* objects;
  std::string owner;  // of the attributes being listed

  void Add(const std::string& path) const {
    const Opened opened = Open(file, path);
    if (!opened.type.valid() || !opened.space.valid()) return objects->push_back({path, "", {}});
    objects->push_back({path, TypeText(opened.type.id()), ShapeOfSpace(opened.space.id())});
  }
};

herr_t AddAttribute(hid_t, const char* name, const H5A_info_t*, void* out) {
  const auto* walk = static_cast<Walk*>(out);
  walk->Add(walk->owner + "@" + name);
  return 0;
}

herr_t AddObject(hid_t root, const char* name, const H5O_info_t* info, void* out) {
  auto* walk = static_cast<Walk*>(out);
  const std::string path = std::strcmp(name, ".") == 0 ? "/" : std::string("/") + name;
  if (info->type == H5O_TYPE_DATASET) walk->Add(path);
  walk->owner = path;
  hsize_t position = 0;
  const Handle object(H5Oopen(root, name, H5P_DEFAULT), H5Oclose);
  return H5Aiterate2(object.id(), H5_INDEX_NAME, H5_ITER_NATIVE, &position, AddAttribute, walk);
}

uint64_t CheckedElements(const std::string& file, const Hdf5Object& object, size_t element_bytes) {
  uint64_t elements = 1;
  for (const int64_t extent : object.shape) {
    if (extent == 0) return 0;
    if (elements > kMaxDatasetBytes / element_bytes / static_cast<uint64_t>(extent)) {
      Fail("{}: '{}' holds more than {} bytes.", file, object.path, kMaxDatasetBytes);
    }
    elements *= static_cast<uint64_t>(extent);
  }
  return elements;
}

}  // namespace

Hdf5Objects::Hdf5Objects(const std::filesystem::path& path) : state_(std::make_unique<State>()) {
  state_->name = path.string();
  state_->file = hdf5::OpenReadOnly(path);
  Walk walk{state_->file.id(), &state_->objects, ""};
  if (H5Ovisit2(state_->file.id(), H5_INDEX_NAME, H5_ITER_NATIVE, AddObject, &walk,
                H5O_INFO_BASIC) < 0) {
    hdf5::FailAt(state_->name, "/", "cannot be walked");
  }
  for (const Hdf5Object& object : state_->objects) {
    if (object.type.empty()) hdf5::FailAt(state_->name, object.path, "has a damaged type");
  }
  std::sort(state_->objects.begin(), state_->objects.end(),
            [](const Hdf5Object& a, const Hdf5Object& b) { return a.path < b.path; });
}

Hdf5Objects::Hdf5Objects(Hdf5Objects&&) noexcept = default;
Hdf5Objects::~Hdf5Objects() = default;

const std::vector<Hdf5Object>& Hdf5Objects::all() const { return state_->objects; }

std::vector<std::byte> Hdf5Objects::Bytes(const Hdf5Object& object) const {
  const Opened opened = Open(state_->file.id(), object.path);
  const hid_t type = opened.type.id();
  const bool variable = H5Tis_variable_str(type) > 0;
  const size_t element_bytes = std::max<size_t>(1, H5Tget_size(type));
  const uint64_t elements = CheckedElements(state_->name, object, element_bytes);
  std::vector<std::byte> bytes(elements * element_bytes);
  if (elements == 0) return bytes;
  if (!opened.Read(type, bytes.data())) {
    hdf5::FailAt(state_->name, object.path, "cannot be read");
  }
  if (!variable) return bytes;
  std::vector<char*> pointers(elements);
  std::memcpy(pointers.data(), bytes.data(), bytes.size());
  std::vector<std::byte> text;
  for (const char* pointer : pointers) {
    const std::string_view value = pointer == nullptr ? "" : pointer;
    const auto* first = reinterpret_cast<const std::byte*>(value.data());
    text.insert(text.end(), first, first + value.size());
    text.push_back(std::byte{0});
  }
  H5Dvlen_reclaim(type, opened.space.id(), H5P_DEFAULT, pointers.data());
  return text;
}

std::vector<double> Hdf5Objects::Numbers(const Hdf5Object& object) const {
  if (object.type == "text" || object.type == "opaque") return {};
  const Opened opened = Open(state_->file.id(), object.path);
  std::vector<double> values(CheckedElements(state_->name, object, sizeof(double)));
  if (!values.empty() && !opened.Read(H5T_NATIVE_DOUBLE, values.data())) {
    hdf5::FailAt(state_->name, object.path, "cannot be read");
  }
  return values;
}

}  // namespace w8a8
