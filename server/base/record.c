#include "base/record.h"

size_t record_most = RECORD_OF_CLIENTS;
