// HDF5's file driver for files that are written: the bytes go to an AtomicFile. Included by
// hdf5_output.cc and hdf5_driver.cc only.
#pragma once

#include <exception>
#include <utility>
#include <vector>

#include "runtime/base/atomic_file.h"
#include "runtime/base/hdf5_handle.h"

namespace w8a8::hdf5 {

// What the library writes. HDF5 1.10 crashes while it closes a file of which a write failed, so it
// is never told: the first failure is kept for RethrowFailure(), and from then on the library's
// metadata, which it reads again, are kept in memory. Nothing here throws but RethrowFailure().
class Sink {
 public:
  explicit Sink(AtomicFile& file) : file_(file) {}

  void Write(H5FD_mem_t type, uint64_t offset, std::span<const std::byte> bytes) noexcept;
  void Read(uint64_t offset, std::span<std::byte> bytes) noexcept;
  void Resize(uint64_t bytes) noexcept;
  // Throws what the first failed write or read threw; does nothing if none did.
  void RethrowFailure() const;

 private:
  AtomicFile& file_;
  std::exception_ptr failure_;
  std::vector<std::pair<uint64_t, std::vector<std::byte>>> unwritten_;  // metadata, in order
};

// Makes files that are created with the property list `access` write to `sink`, which must outlive
// them.
void WriteTo(Sink& sink, hid_t access);

}  // namespace w8a8::hdf5
