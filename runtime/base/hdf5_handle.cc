#include "runtime/base/hdf5_handle.h"

#include <cctype>

namespace w8a8::hdf5 {

void Silence() { H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr); }

std::string LastReason() {
  std::string reason;
  const auto keep_first = [](unsigned, const H5E_error2_t* entry, void* out) -> herr_t {
    auto& text = *static_cast<std::string*>(out);
    if (text.empty() && entry->desc != nullptr) text = entry->desc;
    return 0;
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_first, &reason);
  for (char& c : reason) {
    if (std::iscntrl(static_cast<unsigned char>(c)) != 0) c = ' ';
  }
  return reason.empty() ? "no reason given" : reason;
}

Handle HalfType() {
  Handle type(H5Tcopy(H5T_IEEE_F32LE), H5Tclose);
  const bool made = H5Tset_fields(type.id(), 15, 10, 5, 0, 10) >= 0 &&
                    H5Tset_size(type.id(), 2) >= 0 && H5Tset_ebias(type.id(), 15) >= 0;
  W8A8_CHECK(made);
  return type;
}

Handle TextType(size_t bytes) {
  Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  const bool made =
      H5Tset_size(type.id(), bytes) >= 0 && H5Tset_cset(type.id(), H5T_CSET_UTF8) >= 0 &&
      H5Tset_strpad(type.id(), bytes == H5T_VARIABLE ? H5T_STR_NULLTERM : H5T_STR_NULLPAD) >= 0;
  W8A8_CHECK(made);
  return type;
}

}  // namespace w8a8::hdf5
