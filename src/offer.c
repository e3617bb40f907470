/*
 * offer.c: vouchers for leads that enter a segment.
 *
 * They are issued by whoever writes the change, in the same transaction. A
 * budget is a row of offer_slot for each voucher that is still to be had: it is
 * taken with SKIP LOCKED, so that no writer waits for another, and none takes
 * what another has. (Rows with a slot below zero are what a lowered budget has
 * been overspent by: what expires takes them away first.) Who changes a budget
 * locks offer_slot; it is locked as writers lock it before they take a snapshot.
 */
#include "offer.h"
#include "session_cache.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(voucher_code);

/*
 * voucher_code(): 80 bits that nobody can guess, as 16 digits to the base 32 (of
 * Crockford: without I, L, O and U), four by four.
 */
Datum
voucher_code(PG_FUNCTION_ARGS)
{
	static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	uint8		random[16];
	char		code[20];
	int			n = 0;

	if (!pg_strong_random(random, sizeof(random)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random values")));
	for (int i = 0; i < 16; i++)
	{
		if (i > 0 && i % 4 == 0)
			code[n++] = '-';
		code[n++] = digits[random[i] % 32];
	}
	PG_RETURN_TEXT_P(cstring_to_text_with_len(code, n));
}

/* Take slots of the budgets that changes draw on, as many as are free; returns the offer of each (text[]). */
static Datum
take_slots(Datum *values, Oid *types, Snapshot now)
{
	static SPIPlanPtr plan = NULL;
	ArrayBuildState *offers = initArrayResult(TEXTOID, CurrentMemoryContext, false);

	session_plan(&plan, "DELETE FROM leadscore.offer_slot WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
				 "SELECT s.ctid FROM leadscore.slots_wanted($1, $2, $3, $4, $5) w, LATERAL ("
				 "SELECT o.ctid FROM leadscore.offer_slot o WHERE o.offer OPERATOR(pg_catalog.=) w.offer AND o.slot OPERATOR(pg_catalog.>) 0"
				 " ORDER BY o.slot LIMIT w.wanted FOR UPDATE SKIP LOCKED) s)) RETURNING offer", 5, types);
	if (SPI_execute_snapshot(plan, values, NULL, now, InvalidSnapshot, false, true, 0) != SPI_OK_DELETE_RETURNING)
		elog(ERROR, "could not take slots of offers");
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		bool		isnull;
		Datum		offer = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 1, &isnull);

		CHECK_FOR_INTERRUPTS();
		offers = accumArrayResult(offers, offer, isnull, TEXTOID, CurrentMemoryContext);
	}
	SPI_freetuptable(SPI_tuptable);
	return makeArrayResult(offers, CurrentMemoryContext);
}

void
issue_vouchers(const Datum changes[4], TimestampTz at, Snapshot now)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[6] = {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZOID, TEXTARRAYOID};
	Datum		values[6] = {changes[0], changes[1], changes[2], changes[3], TimestampTzGetDatum(at)};

	values[5] = take_slots(values, types, now);
	session_plan(&plan, "INSERT INTO leadscore.voucher (offer, kind, terms, lead_id, code, issued_at, expires_at)"
				 " SELECT v.offer, v.kind, v.terms, v.lead_id, CASE WHEN NOT v.holdout THEN leadscore.voucher_code() END, $5, v.expires_at"
				 " FROM leadscore.vouchers_to_issue($1, $2, $3, $4, $5, $6) v ON CONFLICT DO NOTHING", 6, types);
	if (SPI_execute_snapshot(plan, values, NULL, now, InvalidSnapshot, false, true, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not issue vouchers");
}
