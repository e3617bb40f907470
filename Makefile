# leadscore, a PostgreSQL extension
#
#   make, make install, make installcheck, make clean      need a server and its development files (PGXS)
#   make check, make demo and the others of HARNESS         need nothing: see test/run
#
# WERROR=1 turns the compiler's warnings about our files into errors.

HARNESS = check check-long check-sanitize check-valgrind check-versions fuzz sqlsmith demo bench profile

ifneq (,$(filter $(HARNESS),$(MAKECMDGOALS)))

.PHONY: $(HARNESS)
$(HARNESS):
	@test/run $@

else

EXTENSION  = leadscore
EXTVERSION = $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" $(EXTENSION).control)

MODULE_big = leadscore
OBJS       = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c)))

SQL_PARTS  = schema types core catalog templates store partition maintenance identity derive experiment face rfm figures affinity crm quality learn fit bins profile preview clv transitions offers schedule privileges
DATA_built = sql/leadscore--$(EXTVERSION).sql
DATA       = $(wildcard sql/leadscore--*--*.sql)

REGRESS      = $(patsubst test/sql/%.sql,%,$(sort $(wildcard test/sql/*.sql)))
REGRESS_OPTS = --inputdir=test --load-extension=$(EXTENSION) --launcher=test/own_database

PG_CONFIG ?= pg_config

ifdef WERROR
PG_CFLAGS   = -Wall -Wextra -Werror
PG_CPPFLAGS = -isystem $(shell $(PG_CONFIG) --includedir-server)   # the server's headers are not ours to mend
endif

PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

$(OBJS) $(OBJS:.o=.bc): $(wildcard src/*.h)

$(DATA_built): $(SQL_PARTS:%=sql/%.sql)
	{ printf '%s\n' '\echo Use "CREATE EXTENSION leadscore" to load this file. \quit'; cat $^; } > $@

endif
