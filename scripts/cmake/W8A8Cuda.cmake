# Whether the CUDA backend is built, and how: sets W8A8_HAS_CUDA.
set(W8A8_HAS_CUDA FALSE)
set(W8A8_CUDA_ARCHITECTURES "80;90" CACHE STRING "GPUs that kernels are compiled for, beside sm_90a's own")

# nvcc where it is on the PATH, in $CUDACXX or where NVIDIA's packages put it.
macro(w8a8_find_cuda)
  include(CheckLanguage)
  if(NOT CMAKE_CUDA_COMPILER)
    find_program(W8A8_NVCC nvcc HINTS ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
    if(EXISTS "${W8A8_NVCC}")
      set(CMAKE_CUDA_COMPILER ${W8A8_NVCC})
    endif()
  endif()
  set(CMAKE_CUDA_ARCHITECTURES ${W8A8_CUDA_ARCHITECTURES})
  set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER})
  set(w8a8_cuda_missing "nvcc (CUDA Toolkit 12.4 or newer)")
  if(CMAKE_CUDA_COMPILER)
    check_language(CUDA)
    if(CMAKE_CUDA_COMPILER)
      enable_language(CUDA)
      # CMake 3.25 knows nvcc's C++20 not yet.
      set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
      set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
      find_package(CUDAToolkit 12.4 QUIET)
      set(w8a8_cuda_missing "CUDA Toolkit 12.4 or newer")
      if(TARGET CUDA::cudart_static)
        set(W8A8_HAS_CUDA TRUE)
      endif()
    else()
      set(w8a8_cuda_missing "an nvcc that works with ${CMAKE_CXX_COMPILER}")
    endif()
  endif()
endmacro()

if(NOT W8A8_CUDA STREQUAL "OFF")
  w8a8_find_cuda()
  if(W8A8_HAS_CUDA)
    message(STATUS "CUDA backend: built by ${CMAKE_CUDA_COMPILER} ${CMAKE_CUDA_COMPILER_VERSION} (W8A8_CUDA=${W8A8_CUDA})")
  elseif(W8A8_CUDA STREQUAL "ON")
    message(FATAL_ERROR "W8A8_CUDA=ON, but the CUDA backend needs ${w8a8_cuda_missing}. Install it, name its "
      "nvcc by CUDACXX, or configure with -DW8A8_CUDA=AUTO or OFF.")
  else()
    message(STATUS "CUDA backend: not built, it needs ${w8a8_cuda_missing}")
  endif()
endif()

# w8a8_cuda_kernels(TARGET file.cu...): kernels with the arithmetic of the contract: no contraction, no
# flush to zero, IEEE quotients and roots (nvcc's defaults aside from the first). Diagnostic 554: MatView<const
# T> has a conversion to itself that is never called.
function(w8a8_cuda_kernels target)
  target_sources(${target} PRIVATE ${ARGN})
  set_source_files_properties(${ARGN} PROPERTIES COMPILE_OPTIONS
    "--fmad=false;--expt-relaxed-constexpr;--diag-suppress=554;$<$<BOOL:${W8A8_WERROR}>:-Werror=all-warnings>")
  set_target_properties(${target} PROPERTIES CUDA_RUNTIME_LIBRARY Static)
endfunction()
