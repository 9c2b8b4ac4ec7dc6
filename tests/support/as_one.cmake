# cmake -D OUT=file -D ROOT=folder -D "SOURCES=file;..." -P as_one.cmake: the SOURCES, of which ROOT is the
# folder, one behind the other as one source file. In a file that is all unnamed namespace that gets another
# inside, named for the file: two tests may use one name, as they may when each is compiled by itself. Names of
# ROOT's files in it are relative: the file is equal in every clone (ccache).
set(begin "\nnamespace (w8a8|w8a8::test) {\nnamespace {\n")
set(end "\n}  // namespace\n}  // namespace w8a8")
set(text "")
set(number 0)
foreach(source IN LISTS SOURCES)
  file(READ ${ROOT}/${source} content)
  if(content MATCHES "${begin}" AND content MATCHES "${end}")
    math(EXPR number "${number} + 1")
    string(REGEX REPLACE "${begin}" "\nnamespace \\1 {\nnamespace { namespace file_${number} {\n" content "${content}")
    string(REPLACE "${end}" "\n}}\n}  // namespace w8a8" content "${content}")
  endif()
  string(APPEND text "#line 1 \"${source}\"\n${content}")
endforeach()
file(WRITE ${OUT} "${text}")
