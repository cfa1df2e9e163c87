# protobuf-c as the target ProtobufC::ProtobufC, and its compiler as PROTOC_C.
find_path(ProtobufC_INCLUDE_DIR protobuf-c/protobuf-c.h)
find_library(ProtobufC_LIBRARY protobuf-c)
find_program(PROTOC_C protoc-c)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(ProtobufC REQUIRED_VARS ProtobufC_LIBRARY ProtobufC_INCLUDE_DIR PROTOC_C
  REASON_FAILURE_MESSAGE "protobuf-c or its compiler is missing: `make deps` installs them")
if(ProtobufC_FOUND AND NOT TARGET ProtobufC::ProtobufC)
  add_library(ProtobufC::ProtobufC UNKNOWN IMPORTED)
  set_target_properties(ProtobufC::ProtobufC PROPERTIES IMPORTED_LOCATION "${ProtobufC_LIBRARY}"
                        INTERFACE_INCLUDE_DIRECTORIES "${ProtobufC_INCLUDE_DIR}")
endif()
mark_as_advanced(ProtobufC_INCLUDE_DIR ProtobufC_LIBRARY PROTOC_C)
