# cJSON as the target CJson::CJson; its header is included as <cjson/cJSON.h>.
find_path(CJson_INCLUDE_DIR cjson/cJSON.h)
find_library(CJson_LIBRARY cjson)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CJson REQUIRED_VARS CJson_LIBRARY CJson_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "cJSON is missing: `make deps` installs it")
if(CJson_FOUND AND NOT TARGET CJson::CJson)
  add_library(CJson::CJson UNKNOWN IMPORTED)
  set_target_properties(CJson::CJson PROPERTIES IMPORTED_LOCATION "${CJson_LIBRARY}"
                        INTERFACE_INCLUDE_DIRECTORIES "${CJson_INCLUDE_DIR}")
endif()
mark_as_advanced(CJson_INCLUDE_DIR CJson_LIBRARY)
