#include <algorithm>
#include <cstring>

#include "runtime/base/atomic_file.h"
#include "runtime/base/file_seal.h"
#include "runtime/base/hdf5_driver.h"
#include "runtime/base/hdf5_file.h"
#include "runtime/base/interrupt.h"

namespace w8a8 {

using hdf5::Handle;

struct Hdf5OutputFile::State {
  explicit State(const std::filesystem::path& target) : name(target.string()), whole(target) {}

  // Throws what went wrong on the way to the disk; else, unless `done`, the library's reason.
  void Check(bool done, const std::string& object, std::string_view problem) const {
    sink.RethrowFailure();
    if (!done) hdf5::FailAt(name, object, problem);
  }

  std::string name;  // for messages: the target, not the temporary
  AtomicFile whole;  // these two before `file`, so that they outlive it
  hdf5::Sink sink{whole};
  Handle file;
  Handle group_properties, dataset_properties, link_properties;
};

namespace {

// Object times would make two runs of equal content differ.
Handle UntimedProperties(hid_t kind) {
  Handle properties(H5Pcreate(kind), H5Pclose);
  W8A8_CHECK(H5Pset_obj_track_times(properties.id(), false) >= 0);
  return properties;
}

Handle CreateFile(const std::filesystem::path& path, hdf5::Sink& sink) {
  const Handle creation = UntimedProperties(H5P_FILE_CREATE);
  const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  hdf5::WriteTo(sink, access.id());
  H5Pset_fclose_degree(access.id(), H5F_CLOSE_STRONG);
  // 1.8 metadata has checksums and no symbol-table heaps; every reader of the last decade has it.
  H5Pset_libver_bounds(access.id(), H5F_LIBVER_V18, H5F_LIBVER_V18);
  return {H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation.id(), access.id()), H5Fclose};
}

// "/a/b/c" -> "/a/b"; "/a" -> "/".
std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

void CheckPath(const std::string& file, const std::string& path) {
  if (path.size() >= 2 && path.front() == '/' && path.back() != '/' &&
      path.find("//") == std::string::npos && path.find('\0') == std::string::npos) {
    return;
  }
  Fail("{}: '{}' is no name for an HDF5 object; it is '/' and names divided by '/'.", file, path);
}

Handle Extent(const Hdf5Shape& shape) {
  const std::vector<hsize_t> extents(shape.begin(), shape.end());
  return {H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr), H5Sclose};
}

}  // namespace

Hdf5OutputFile::Hdf5OutputFile(const std::filesystem::path& target)
    : state_(std::make_unique<State>(target)) {
  hdf5::Silence();
  state_->file = CreateFile(state_->whole.temporary(), state_->sink);
  state_->Check(state_->file.valid(), "/", "cannot be created");
  state_->group_properties = UntimedProperties(H5P_GROUP_CREATE);
  state_->dataset_properties = UntimedProperties(H5P_DATASET_CREATE);
  state_->link_properties = Handle(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
  H5Pset_char_encoding(state_->link_properties.id(), H5T_CSET_UTF8);
}

Hdf5OutputFile::Hdf5OutputFile(Hdf5OutputFile&&) noexcept = default;
Hdf5OutputFile& Hdf5OutputFile::operator=(Hdf5OutputFile&&) noexcept = default;
Hdf5OutputFile::~Hdf5OutputFile() = default;

void Hdf5OutputFile::Group(const std::string& path) {
  W8A8_CHECK(state_->file.valid());
  if (path == "/") return;
  CheckPath(state_->name, path);
  // The library could make missing parents itself, but with object times.
  for (size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    if (H5Lexists(state_->file.id(), part.c_str(), H5P_DEFAULT) <= 0) {
      const Handle group(H5Gcreate2(state_->file.id(), part.c_str(), state_->link_properties.id(),
                                    state_->group_properties.id(), H5P_DEFAULT),
                         H5Gclose);
      state_->Check(group.valid(), part, "cannot be created as a group");
    }
    if (end == std::string::npos) return;
  }
}

template <class T>
void Hdf5OutputFile::Write(const std::string& path, std::span<const T> values,
                           const Hdf5Shape& shape) {
  W8A8_CHECK(state_->file.valid());
  ThrowIfInterrupted();
  CheckPath(state_->name, path);
  int64_t elements = 1;
  for (const int64_t extent : shape) elements *= extent;
  W8A8_CHECK(!shape.empty() && elements == static_cast<int64_t>(values.size()));

  Group(ParentOf(path));
  const Handle type = hdf5::ElementType<T>();
  const Handle space = Extent(shape);
  const Handle dataset(
      H5Dcreate2(state_->file.id(), path.c_str(), type.id(), space.id(),
                 state_->link_properties.id(), state_->dataset_properties.id(), H5P_DEFAULT),
      H5Dclose);
  state_->Check(dataset.valid(), path, "cannot be created");
  const bool written = elements == 0 || H5Dwrite(dataset.id(), type.id(), H5S_ALL, H5S_ALL,
                                                 H5P_DEFAULT, values.data()) >= 0;
  state_->Check(written, path, "cannot be written");
}

void Hdf5OutputFile::WriteStrings(const std::string& path, std::span<const std::string> values) {
  W8A8_CHECK(state_->file.valid());
  CheckPath(state_->name, path);
  size_t longest = 1;
  for (const std::string& value : values) {
    W8A8_CHECK(value.find('\0') == std::string::npos);
    longest = std::max(longest, value.size());
  }
  std::string padded(longest * values.size(), '\0');
  for (size_t i = 0; i < values.size(); ++i) {
    std::memcpy(padded.data() + i * longest, values[i].data(), values[i].size());
  }

  Group(ParentOf(path));
  const Handle type = hdf5::TextType(longest);
  const Handle space = Extent({static_cast<int64_t>(values.size())});
  const Handle dataset(
      H5Dcreate2(state_->file.id(), path.c_str(), type.id(), space.id(),
                 state_->link_properties.id(), state_->dataset_properties.id(), H5P_DEFAULT),
      H5Dclose);
  state_->Check(dataset.valid(), path, "cannot be created");
  const bool written = values.empty() || H5Dwrite(dataset.id(), type.id(), H5S_ALL, H5S_ALL,
                                                  H5P_DEFAULT, padded.data()) >= 0;
  state_->Check(written, path, "cannot be written");
}

namespace {

void WriteAttribute(const std::string& file_name, hid_t file, const std::string& object,
                    const std::string& name, const Handle& type, const void* value) {
  const Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  const Handle target(H5Oopen(file, object.c_str(), H5P_DEFAULT), H5Oclose);
  if (!target.valid()) hdf5::FailAt(file_name, object, "cannot be opened to take an attribute");
  const Handle properties(H5Pcreate(H5P_ATTRIBUTE_CREATE), H5Pclose);
  H5Pset_char_encoding(properties.id(), H5T_CSET_UTF8);
  const Handle attribute(
      H5Acreate2(target.id(), name.c_str(), type.id(), space.id(), properties.id(), H5P_DEFAULT),
      H5Aclose);
  if (!attribute.valid() || H5Awrite(attribute.id(), type.id(), value) < 0) {
    hdf5::FailAt(file_name, object, fmt::format("cannot take the attribute '{}'", name));
  }
}

}  // namespace

void Hdf5OutputFile::Attribute(const std::string& object, const std::string& name,
                               const std::string& value) {
  W8A8_CHECK(state_->file.valid() && value.find('\0') == std::string::npos);
  const char* text = value.c_str();
  WriteAttribute(state_->name, state_->file.id(), object, name, hdf5::TextType(H5T_VARIABLE),
                 &text);
}

void Hdf5OutputFile::Attribute(const std::string& object, const std::string& name,
                               const char* value) {
  Attribute(object, name, std::string(value));
}

void Hdf5OutputFile::Attribute(const std::string& object, const std::string& name, uint64_t value) {
  W8A8_CHECK(state_->file.valid());
  WriteAttribute(state_->name, state_->file.id(), object, name, hdf5::ElementType<uint64_t>(),
                 &value);
}

void Hdf5OutputFile::Attribute(const std::string& object, const std::string& name, int64_t value) {
  W8A8_CHECK(state_->file.valid());
  WriteAttribute(state_->name, state_->file.id(), object, name, hdf5::ElementType<int64_t>(),
                 &value);
}

void Hdf5OutputFile::Attribute(const std::string& object, const std::string& name, float value) {
  W8A8_CHECK(state_->file.valid());
  WriteAttribute(state_->name, state_->file.id(), object, name, hdf5::ElementType<float>(), &value);
}

void Hdf5OutputFile::Attribute(const std::string& object, const std::string& name, double value) {
  W8A8_CHECK(state_->file.valid());
  WriteAttribute(state_->name, state_->file.id(), object, name, hdf5::ElementType<double>(),
                 &value);
}

void Hdf5OutputFile::Commit() {
  W8A8_CHECK(state_->file.valid());
  const bool flushed = H5Fflush(state_->file.id(), H5F_SCOPE_GLOBAL) >= 0;
  const bool closed = state_->file.Reset() >= 0;
  state_->Check(flushed && closed, "/", "cannot be completed");
  const std::string seal = SealOf(state_->whole.temporary());
  state_->whole.Append(std::as_bytes(std::span(seal)));
  state_->whole.Commit();
}

#define W8A8_INSTANTIATE(T) \
  template void Hdf5OutputFile::Write<T>(const std::string&, std::span<const T>, const Hdf5Shape&);
W8A8_FOR_EACH_HDF5_TYPE(W8A8_INSTANTIATE)
#undef W8A8_INSTANTIATE

}  // namespace w8a8
