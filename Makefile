# leadscore, a PostgreSQL extension
#
#   make, make install, make installcheck, make clean      need a server and its development files (PGXS)
#                                                           (installcheck: a running one, as a superuser)
#   make check, make demo and the others of HARNESS         need nothing: see test/run
#   make dashboard                                          draws the page of a database: see doc/dashboard/build
#
# WERROR=1 turns the compiler's warnings about our files into errors.

HARNESS = check check-long check-assert check-sanitize check-valgrind check-versions check-vendure check-citus lint fuzz sqlsmith \
          demo bench bench-citus profile dist check-dist deb

ifneq (,$(filter dashboard,$(MAKECMDGOALS)))

.PHONY: dashboard
dashboard:
	@CALLER=$(CURDIR) doc/dashboard/build

else ifneq (,$(filter $(HARNESS),$(MAKECMDGOALS)))

.PHONY: $(HARNESS)
$(HARNESS):
	@test/run $@

else

# Where this file lies. In another folder than the working one, PGXS has to be told: it finds out by itself only on some servers.
here := $(or $(VPATH),$(patsubst %/,%,$(dir $(firstword $(MAKEFILE_LIST)))))
ifneq ($(here),.)
VPATH := $(here)
$(shell cd $(here) && find src sql -type d | while read -r room; do mkdir -p "$(CURDIR)/$$room"; done)
endif

EXTENSION  = leadscore
EXTVERSION = $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" $(here)/$(EXTENSION).control)

# The library has the number of the major version. Beside it lies one for databases that still are of 0.1.0.
MODULE_big = leadscore-1
OBJS       = $(patsubst $(here)/%.c,%.o,$(sort $(filter-out $(here)/src/update/%,$(wildcard $(here)/src/*.c $(here)/src/*/*.c))))
MODULES    = leadscore

SQL_PARTS  = schema empty timeline/timeline model/score model/catalog model/template live/store live/query \
             live/follow live/partition live/maintenance live/archive live/identity live/alias live/exclusion live/derive live/partition_events act/experiment \
             model/sentence face/face face/change face/rfm face/history face/journey face/figures face/affinity face/crm learn/quality learn/learn learn/fit learn/bins \
             learn/profile_report learn/choice learn/propose learn/preview face/describe learn/segment_limits customer/clv act/transition \
             act/offer face/snapshot face/distributed_snapshot act/tombstone face/person live/distribute face/distributed learn/distributed act/distributed_change model/lint admin/schedule admin/progress \
             admin/health admin/privileges
UPDATE     = sql/leadscore--0.1.0--$(EXTVERSION).sql
DATA_built = sql/leadscore--$(EXTVERSION).sql $(UPDATE)
DATA       = sql/leadscore--0.1.0.sql sql/leadscore--0.1.0.control

# What 0.1.0 has made stays or goes, where the install script is run on it: see the first of these files.
UPDATE_PARTS  = update/drop schema update/keep $(filter-out schema empty admin/privileges,$(SQL_PARTS)) \
                update/check admin/privileges update/count
UPDATE_TABLES = signal model category stage weight grade segment compaction model_document event lead lead_timeline lead_alias \
                pending_delta changed_lead counted_signal snapshot_state derivation derived_event derivation_due derivation_state \
                experiment conversion rfm_group spend channel crm_state model_version watched_model lead_state segment_change \
                change_clock change_consumer offer offer_slot voucher

# pg_regress looks for sql/NAME.sql in the output folder first, so that must not be this one: our own SQL has such names.
REGRESS      = $(patsubst $(here)/test/sql/%.sql,%,$(sort $(wildcard $(here)/test/sql/*.sql)))
REGRESS_OPTS = --inputdir=$(here)/test --outputdir=test --encoding=UTF8 --no-locale --load-extension=$(EXTENSION) --launcher=$(here)/test/own_database
REGRESS_PREP = link_expected
EXTRA_CLEAN  = test/results test/regression.diffs test/regression.out

PG_CONFIG ?= pg_config

# Includes name the room, from src/.
PG_CPPFLAGS = -iquote $(here)/src

ifdef WERROR
PG_CFLAGS   = -Wall -Wextra -Werror
PG_CPPFLAGS += -isystem $(shell $(PG_CONFIG) --includedir-server)   # the server's headers are not ours to mend
endif

PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# the innermost loops of a history, as PostgreSQL compiles those of numeric.c
src/model/over_time.o: CFLAGS += $(CFLAGS_VECTORIZE)

$(OBJS) $(OBJS:.o=.bc) leadscore.o leadscore.bc: $(wildcard $(here)/src/*.h $(here)/src/*/*.h)

# Names of one library's functions mean its own, whatever other libraries a session has loaded.
ifeq ($(PORTNAME),linux)
SHLIB_LINK += -Wl,-Bsymbolic
endif

vpath leadscore.c $(here)/src/update

sql/leadscore--$(EXTVERSION).sql: $(SQL_PARTS:%=sql/%.sql)
	{ printf '%s\n' '\echo Use "CREATE EXTENSION leadscore" to load this file. \quit'; cat $^; } > $@

$(UPDATE): $(UPDATE_PARTS:%=sql/%.sql) sql/update/tables.awk
	{ printf '%s\n' '\echo Use "ALTER EXTENSION leadscore UPDATE" to load this file. \quit'; \
	  awk -v tables='$(UPDATE_TABLES)' -f $(filter %.awk,$^) $(filter %.sql,$^); } > $@

# PGXN's client makes files of a zip's links.
.PHONY: link_expected
link_expected:
	@[ -d $(here)/test/expected ] || ln -sf ../expected $(here)/test/expected

endif
