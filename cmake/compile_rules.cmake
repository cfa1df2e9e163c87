# How everything in this repository is compiled: one place for the laws on warnings, floating point and sanitizers.

set(dither_warnings -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wcast-qual -Wvla)

function(dither_compile_rules target)
  target_compile_definitions(${target} PRIVATE _GNU_SOURCE)
  # No contraction: a*b+c rounds twice on every machine, so results are the same bits everywhere.
  target_compile_options(${target} PRIVATE ${dither_warnings} -ffp-contract=off)
  if(DITHER_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(DITHER_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${DITHER_SANITIZE} -fno-omit-frame-pointer
                           -fno-sanitize-recover=all -g)
  endif()
endfunction()

function(dither_link_rules target)
  if(DITHER_SANITIZE)
    target_link_options(${target} PRIVATE -fsanitize=${DITHER_SANITIZE})
  endif()
endfunction()
