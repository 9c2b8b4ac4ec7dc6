# Libraries from the system. Each is found once here and wrapped in a w8a8_dep_* target.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json 3.10 REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(PNG REQUIRED)
find_package(JPEG REQUIRED)
find_package(HDF5 REQUIRED COMPONENTS C)

add_library(w8a8_dep_hdf5 INTERFACE)
target_include_directories(w8a8_dep_hdf5 SYSTEM INTERFACE ${HDF5_C_INCLUDE_DIRS})
target_compile_definitions(w8a8_dep_hdf5 INTERFACE ${HDF5_C_DEFINITIONS})
target_link_libraries(w8a8_dep_hdf5 INTERFACE ${HDF5_C_LIBRARIES})

# OpenCVConfig.cmake comes only with libopencv-dev and its 160 packages; three small -dev packages
# are enough, so those are looked for by hand when the config is absent.
add_library(w8a8_dep_opencv INTERFACE)
find_package(OpenCV QUIET COMPONENTS core imgproc imgcodecs CONFIG)
if(OpenCV_FOUND)
  target_include_directories(w8a8_dep_opencv SYSTEM INTERFACE ${OpenCV_INCLUDE_DIRS})
  target_link_libraries(w8a8_dep_opencv INTERFACE ${OpenCV_LIBS})
else()
  find_path(W8A8_OPENCV_INCLUDE opencv2/core.hpp PATH_SUFFIXES opencv4 REQUIRED)
  target_include_directories(w8a8_dep_opencv SYSTEM INTERFACE ${W8A8_OPENCV_INCLUDE})
  foreach(module core imgproc imgcodecs)
    find_library(W8A8_OPENCV_${module} opencv_${module} REQUIRED)
    target_link_libraries(w8a8_dep_opencv INTERFACE ${W8A8_OPENCV_${module}})
  endforeach()
endif()

# Debian's dnnl-config.cmake requires OpenCL and aborts the configure without it.
find_path(W8A8_DNNL_INCLUDE oneapi/dnnl/dnnl.h REQUIRED)
find_library(W8A8_DNNL_LIBRARY dnnl REQUIRED)
add_library(w8a8_dep_onednn INTERFACE)
target_include_directories(w8a8_dep_onednn SYSTEM INTERFACE ${W8A8_DNNL_INCLUDE})
target_link_libraries(w8a8_dep_onednn INTERFACE ${W8A8_DNNL_LIBRARY})

find_path(W8A8_CLI11_INCLUDE CLI/CLI.hpp REQUIRED)
add_library(w8a8_dep_cli11 INTERFACE)
target_include_directories(w8a8_dep_cli11 SYSTEM INTERFACE ${W8A8_CLI11_INCLUDE})

find_path(W8A8_MUSTACHE_INCLUDE kainjow/mustache.hpp REQUIRED)
add_library(w8a8_dep_mustache INTERFACE)
target_include_directories(w8a8_dep_mustache SYSTEM INTERFACE ${W8A8_MUSTACHE_INCLUDE})
