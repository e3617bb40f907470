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

#include "catalog/pg_type.h"
#include "executor/spi.h"
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

void
issue_vouchers(const Datum changes[4], TimestampTz at, Snapshot now)
{
	static const char command[] =
		"WITH entered AS MATERIALIZED ("
		/* whoever is new to a model that has just been watched was there before */
		" SELECT o.offer, o.kind, o.discount, o.budget, o.valid_for, c.lead_id, leadscore.is_held_out(o.offer, c.lead_id, o.holdout_share) AS holdout"
		" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4))"
		" AS c (model, lead_id, \"from\", \"to\")"
		" JOIN leadscore.watched_model w ON w.model OPERATOR(pg_catalog.=) c.model AND w.active AND (w.seen OR c.\"from\" IS NOT NULL)"
		" JOIN leadscore.offer o ON o.model OPERATOR(pg_catalog.=) c.model AND o.segment OPERATOR(pg_catalog.=) c.\"to\""
		" AND $5 OPERATOR(pg_catalog.>=) o.starts_at"
		" AND (o.ends_at IS NULL OR $5 OPERATOR(pg_catalog.<) o.ends_at)"
		" WHERE NOT EXISTS (SELECT FROM leadscore.voucher v WHERE v.offer OPERATOR(pg_catalog.=) o.offer"
		" AND (v.lead_id OPERATOR(pg_catalog.=) c.lead_id OR v.lead_id OPERATOR(pg_catalog.=) ANY (ARRAY("
		"SELECT a.alias FROM leadscore.lead_alias a WHERE a.lead_id OPERATOR(pg_catalog.=) c.lead_id))))"
		"), slot AS MATERIALIZED ("
		" SELECT k.offer, s.slot"
		" FROM (SELECT e.offer, pg_catalog.count(*) FILTER (WHERE NOT e.holdout) AS n FROM entered e WHERE e.budget IS NOT NULL GROUP BY e.offer) k"
		" CROSS JOIN LATERAL (SELECT s.slot FROM leadscore.offer_slot s WHERE s.offer OPERATOR(pg_catalog.=) k.offer AND s.slot OPERATOR(pg_catalog.>) 0"
		" ORDER BY s.slot LIMIT k.n FOR UPDATE SKIP LOCKED) s"
		"), taken AS ("
		" DELETE FROM leadscore.offer_slot s USING slot t"
		" WHERE s.offer OPERATOR(pg_catalog.=) t.offer AND s.slot OPERATOR(pg_catalog.=) t.slot RETURNING s.offer"
		"), given AS ("
		" SELECT t.offer, pg_catalog.count(*) AS n FROM taken t GROUP BY t.offer"
		"), numbered AS ("
		" SELECT e.*, pg_catalog.row_number() OVER (PARTITION BY e.offer, e.holdout ORDER BY e.lead_id) AS n FROM entered e)"
		" INSERT INTO leadscore.voucher (offer, kind, terms, lead_id, code, issued_at, expires_at)"
		" SELECT n.offer, n.kind, n.discount, n.lead_id, CASE WHEN NOT n.holdout THEN leadscore.voucher_code() END,"
		" $5, $5 OPERATOR(pg_catalog.+) n.valid_for"
		" FROM numbered n LEFT JOIN given g ON g.offer OPERATOR(pg_catalog.=) n.offer"
		" WHERE n.budget IS NULL OR CASE WHEN n.holdout THEN EXISTS (SELECT FROM leadscore.offer_slot s"
		" WHERE s.offer OPERATOR(pg_catalog.=) n.offer AND s.slot OPERATOR(pg_catalog.>) 0)"
		" ELSE n.n OPERATOR(pg_catalog.<=) g.n END"
		" ON CONFLICT DO NOTHING";
	static SPIPlanPtr plan = NULL;
	Oid			types[5] = {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZOID};
	Datum		values[5] = {changes[0], changes[1], changes[2], changes[3], TimestampTzGetDatum(at)};

	if (plan == NULL)
	{
		plan = SPI_prepare(command, 5, types);
		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare \"%s\"", command);
	}
	if (SPI_execute_snapshot(plan, values, NULL, now, InvalidSnapshot, false, true, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not issue vouchers");
}
