/* The least that a host does: the interface fits the header, and an error has a text. */
#include <bywash.h>

#include <stdio.h>
#include <string.h>

int main(void) {
  bywash_options *options;
  bywash_error *error;
  if (bywash_abi_version() != BYWASH_ABI_VERSION) return 1;
  if (bywash_options_new(&options, &error) != BYWASH_OK) return 2;
  if (bywash_options_set(options, "codec", "none such", &error) != BYWASH_INVALID_ARGUMENT) return 3;
  if (strlen(bywash_error_message(error)) == 0) return 4;
  bywash_error_free(error);
  bywash_options_free(options);
  printf("bywash %s\n", bywash_version_string());
  return 0;
}
