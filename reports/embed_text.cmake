# Writes a C++ source that holds a text file: cmake -DINPUT=f -DOUTPUT=f.cc -DNAME=kName -P this.
file(READ "${INPUT}" text)
file(WRITE "${OUTPUT}"
  "extern const char ${NAME}[];\nconst char ${NAME}[] = R\"w8a8text(${text})w8a8text\";\n")
