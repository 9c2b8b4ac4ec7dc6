#include "runtime/base/temporary_paths.h"

#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <new>

namespace w8a8 {
namespace {

struct Entry {
  std::atomic<char*> path{nullptr};
  Entry* next = nullptr;
};

static_assert(std::atomic<char*>::is_always_lock_free, "a signal handler reads the list");

// Entries are reused and never freed, so that a handler can walk the list at any moment.
std::atomic<Entry*> first_entry{nullptr};

std::atomic<char*>* List(char* path) {
  for (Entry* entry = first_entry.load(); entry != nullptr; entry = entry->next) {
    char* empty = nullptr;
    if (entry->path.compare_exchange_strong(empty, path)) return &entry->path;
  }
  auto* entry = new Entry;
  entry->path.store(path);
  entry->next = first_entry.load();
  while (!first_entry.compare_exchange_weak(entry->next, entry)) {
  }
  return &entry->path;
}

}  // namespace

TemporaryPath::TemporaryPath(const std::filesystem::path& path) {
  // Absolute: whoever removes it may stand in another folder.
  char* const copy = ::strdup(std::filesystem::absolute(path).c_str());
  if (copy == nullptr) throw std::bad_alloc();
  slot_ = List(copy);
}

TemporaryPath::~TemporaryPath() {
  // Nothing is freed if a handler has taken it meanwhile.
  if (char* const path = slot_->exchange(nullptr)) std::free(path);
}

void RemoveTemporaryFiles() noexcept {
  for (Entry* entry = first_entry.load(); entry != nullptr; entry = entry->next) {
    if (char* const path = entry->path.exchange(nullptr)) ::unlink(path);
  }
}

}  // namespace w8a8
