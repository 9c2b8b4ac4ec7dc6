# How every target is compiled, and the one way to declare a folder's library.

# Binary32 arithmetic is part of the contract: a*b+c is contracted into an FMA only where std::fma
# is written, and nothing may reassociate.
add_library(w8a8_compile INTERFACE)
target_compile_options(w8a8_compile INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off -Wall -Wextra -Wpedantic -Wshadow -Wconversion>)
target_include_directories(w8a8_compile INTERFACE ${PROJECT_SOURCE_DIR})
if(W8A8_WERROR)
  target_compile_options(w8a8_compile INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Werror>)
endif()
if(W8A8_SANITIZE)
  target_compile_options(w8a8_compile INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${W8A8_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer>)
  # The sanitizers' checks hide from GCC 12 that std::regex sets what it reads.
  target_compile_options(w8a8_compile INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-maybe-uninitialized>)
  target_link_options(w8a8_compile INTERFACE -fsanitize=${W8A8_SANITIZE})
endif()

# w8a8_library(NAME [UNITY] SOURCES file... [DEPENDS target...] [PRIVATE_DEPENDS target...])
# One static library per folder. UNITY: with W8A8_UNITY, a first build without ccache, seven files
# are compiled as one, which halves the time; builds that check (tests, CI) compile every file by
# itself, so that none can lean on another's includes. DEPENDS is the only way to reach another folder's headers in the
# build; tests/project/include_rule checks the sources against the same graph.
function(w8a8_library name)
  cmake_parse_arguments(ARG "UNITY" "" "SOURCES;DEPENDS;PRIVATE_DEPENDS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC w8a8_compile ${ARG_DEPENDS} PRIVATE ${ARG_PRIVATE_DEPENDS})
  if(W8A8_UNITY AND ARG_UNITY)
    set_target_properties(${name} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 7)
  endif()
endfunction()
