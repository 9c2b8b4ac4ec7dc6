#include "runtime/base/hdf5_driver.h"

#include <algorithm>
#include <new>

namespace w8a8::hdf5 {
namespace {

constexpr haddr_t kLargestAddress = (uint64_t{1} << 62) - 1;

// What a property list carries, which the library copies.
struct DriverInfo {
  Sink* sink;
};

// The library's view of an open file; it fills in and reads `base`.
struct DriverFile {
  H5FD_t base;
  Sink* sink;
  haddr_t end_allocated;
  haddr_t end_written;
};

DriverFile& FileOf(H5FD_t* file) { return *reinterpret_cast<DriverFile*>(file); }
const DriverFile& FileOf(const H5FD_t* file) { return *reinterpret_cast<const DriverFile*>(file); }

H5FD_t* Open(const char* /*name*/, unsigned /*flags*/, hid_t access, haddr_t /*largest*/) {
  const auto& info = *static_cast<const DriverInfo*>(H5Pget_driver_info(access));
  auto* const file = new (std::nothrow) DriverFile{{}, info.sink, 0, 0};
  return file == nullptr ? nullptr : &file->base;
}

herr_t Close(H5FD_t* file) {
  delete &FileOf(file);
  return 0;
}

// Those of the library's own driver, so that the layout of the files is the same.
herr_t Query(const H5FD_t* /*file*/, unsigned long* flags) {
  *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
           H5FD_FEAT_AGGREGATE_SMALLDATA;
  return 0;
}

haddr_t EndAllocated(const H5FD_t* file, H5FD_mem_t /*type*/) { return FileOf(file).end_allocated; }

herr_t SetEndAllocated(H5FD_t* file, H5FD_mem_t /*type*/, haddr_t address) {
  FileOf(file).end_allocated = address;
  return 0;
}

haddr_t EndWritten(const H5FD_t* file, H5FD_mem_t /*type*/) { return FileOf(file).end_written; }

herr_t Read(H5FD_t* file, H5FD_mem_t /*type*/, hid_t /*transfer*/, haddr_t address, size_t size,
            void* buffer) {
  FileOf(file).sink->Read(address, {static_cast<std::byte*>(buffer), size});
  return 0;
}

herr_t Write(H5FD_t* file, H5FD_mem_t type, hid_t /*transfer*/, haddr_t address, size_t size,
             const void* buffer) {
  DriverFile& to = FileOf(file);
  to.sink->Write(type, address, {static_cast<const std::byte*>(buffer), size});
  to.end_written = std::max<haddr_t>(to.end_written, address + size);
  return 0;
}

herr_t Truncate(H5FD_t* file, hid_t /*transfer*/, hbool_t /*closing*/) {
  DriverFile& to = FileOf(file);
  if (to.end_written != to.end_allocated) to.sink->Resize(to.end_allocated);
  to.end_written = to.end_allocated;
  return 0;
}

H5FD_class_t MakeClass() {
  H5FD_class_t driver{};
#if H5_VERSION_GE(1, 13, 0)
  driver.version = H5FD_CLASS_VERSION;
  driver.value =
      static_cast<H5FD_class_value_t>(512);  // the first that the library leaves to others
#endif
  driver.name = "w8a8_sink";
  driver.maxaddr = kLargestAddress;
  driver.fc_degree = H5F_CLOSE_STRONG;
  driver.fapl_size = sizeof(DriverInfo);
  driver.open = Open;
  driver.close = Close;
  driver.query = Query;
  driver.get_eoa = EndAllocated;
  driver.set_eoa = SetEndAllocated;
  driver.get_eof = EndWritten;
  driver.read = Read;
  driver.write = Write;
  driver.truncate = Truncate;
  constexpr H5FD_mem_t kFreeLists[] = H5FD_FLMAP_DICHOTOMY;
  std::ranges::copy(kFreeLists, driver.fl_map);
  return driver;
}

hid_t Driver() {
  static const H5FD_class_t driver_class = MakeClass();
  static const hid_t driver = H5FDregister(&driver_class);
  W8A8_CHECK(driver >= 0);
  return driver;
}

}  // namespace

void Sink::Write(H5FD_mem_t type, uint64_t offset, std::span<const std::byte> bytes) noexcept {
  if (!failure_) {
    try {
      file_.WriteAt(offset, bytes);
      return;
    } catch (...) {
      failure_ = std::current_exception();
    }
  }
  if (type == H5FD_MEM_DRAW) return;  // raw data is not read again
  unwritten_.emplace_back(offset, std::vector<std::byte>(bytes.begin(), bytes.end()));
}

void Sink::Read(uint64_t offset, std::span<std::byte> bytes) noexcept {
  try {
    file_.ReadAt(offset, bytes);
  } catch (...) {
    if (!failure_) failure_ = std::current_exception();
    std::ranges::fill(bytes, std::byte{0});
  }
  for (const auto& [begin, kept] : unwritten_) {
    const uint64_t from = std::max(begin, offset);
    const uint64_t to = std::min(begin + kept.size(), offset + bytes.size());
    if (from >= to) continue;
    std::copy_n(kept.data() + (from - begin), to - from, bytes.data() + (from - offset));
  }
}

void Sink::Resize(uint64_t bytes) noexcept {
  if (failure_) return;
  try {
    file_.Resize(bytes);
  } catch (...) {
    failure_ = std::current_exception();
  }
}

void Sink::RethrowFailure() const {
  if (failure_) std::rethrow_exception(failure_);
}

void WriteTo(Sink& sink, hid_t access) {
  const DriverInfo info{&sink};
  W8A8_CHECK(H5Pset_driver(access, Driver(), &info) >= 0);
}

}  // namespace w8a8::hdf5
