# Decides once what is built besides the tool, and says so: sets W8A8_HAS_TESTS, and for tests/
# W8A8_SIMDE_INCLUDE.
foreach(choice W8A8_CUDA W8A8_TESTS)
  if(NOT ${choice} MATCHES "^(AUTO|ON|OFF)$")
    message(FATAL_ERROR "${choice} is '${${choice}}'; it takes AUTO, ON or OFF.")
  endif()
endforeach()

# There is no CUDA code to build: AUTO, which the presets ask for, leaves the backend out.
if(W8A8_CUDA STREQUAL "ON")
  message(FATAL_ERROR "W8A8_CUDA=ON, but this version has no CUDA backend: it runs on CPUs only. "
    "Configure with -DW8A8_CUDA=AUTO or OFF, or with the preset 'release'.")
endif()

set(W8A8_HAS_TESTS FALSE)
if(NOT W8A8_TESTS STREQUAL "OFF")
  set(missing "")
  find_package(GTest QUIET)
  if(NOT TARGET GTest::gmock)
    list(APPEND missing "GoogleTest with GoogleMock (libgtest-dev, libgmock-dev)")
  endif()
  find_path(W8A8_SIMDE_INCLUDE simde/x86/avx512.h)
  if(NOT W8A8_SIMDE_INCLUDE)
    list(APPEND missing "SIMDe (libsimde-dev)")
  endif()
  find_package(Boost QUIET COMPONENTS context)
  if(NOT TARGET Boost::context)
    list(APPEND missing "Boost.Context (libboost-context-dev)")
  endif()
  list(JOIN missing " and " missing)
  if(NOT missing)
    set(W8A8_HAS_TESTS TRUE)
    message(STATUS "Tests: built (W8A8_TESTS=${W8A8_TESTS})")
  elseif(W8A8_TESTS STREQUAL "ON")
    message(FATAL_ERROR "W8A8_TESTS=ON, but the tests need ${missing}: scripts/setup --tests "
      "installs what they need.")
  else()
    message(STATUS "Tests: not built, they need ${missing}: scripts/setup --tests installs what "
      "they need.")
  endif()
endif()
