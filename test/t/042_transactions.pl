# Random whole transactions of one session against an oracle after each commit: blocks, savepoints, exception blocks,
# triggers of all names and times that call our functions or write tracked tables, deferred constraint triggers, cursors,
# COPY, reloads, cascades, identities inside statements, procedures that commit, two-phase commit, all isolation levels.
#
#   TRANSACTIONS=n   how many; they come in batches, each in a session and a database of its own
#   SEED=n           the first batch's seed; a batch that fails says how it can be run alone
#   MINIMISE=1       looks for the shortest list of statements that still fails in the same way

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Workload;

my $seed = $ENV{SEED} || 20261129;
my $transactions = $ENV{TRANSACTIONS} || 10_000;
my $batch = 500;

my $node = new_node('main');
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE shop');
$node->safe_psql('shop', q{
CREATE EXTENSION leadscore;
-- pure depends on events alone, and is right after each commit; sticky keeps leads where they are, and counts clicks,
-- which are deferred; who depends on profiles, and is right after a look
SELECT leadscore.publish('{"model": "pure",
	"signals": [{"signal": "order", "kind": "order"}, {"signal": "line", "kind": "line"}, {"signal": "visit", "kind": "visit"}, {"signal": "refund", "kind": "refund"}],
	"weights": [{"signal": "order", "points": 2}, {"signal": "order", "measure": "value", "points": 0.25}, {"signal": "line", "points": 1}, {"signal": "visit", "points": 1}, {"signal": "refund", "points": -1.5}],
	"segments": [{"segment": "much", "position": 1, "min_score": 15}, {"segment": "some", "position": 2, "min_score": 6}, {"segment": "little", "position": 3, "min_score": 1}]}');
SELECT leadscore.publish('{"model": "sticky",
	"signals": [{"signal": "order", "kind": "order"}, {"signal": "visit", "kind": "visit"}, {"signal": "click", "kind": "click"}],
	"weights": [{"signal": "order", "points": 2}, {"signal": "visit", "points": 1}, {"signal": "click", "points": 1}],
	"segments": [{"segment": "high", "position": 1, "min_score": 10, "hysteresis": 4}, {"segment": "middle", "position": 2, "min_score": 5, "cool_down": "1 day"}, {"segment": "low", "position": 3}]}');
SELECT leadscore.publish('{"model": "who",
	"signals": [{"signal": "visit", "kind": "visit"}, {"signal": "german", "subject": "profile", "match": {"country": "DE"}}, {"signal": "berlin", "subject": "profile", "match": {"city": "Berlin"}}],
	"weights": [{"signal": "visit", "points": 1}, {"signal": "german", "points": 5}, {"signal": "berlin", "points": 3}],
	"segments": [{"segment": "near", "position": 1, "min_score": 8}, {"segment": "far", "position": 2, "min_score": 4}]}');
SELECT leadscore.publish('{"model": "absent", "time_zone": "Asia/Kolkata",
	"signals": [{"signal": "order", "kind": "order"}, {"signal": "visit", "kind": "visit"}, {"signal": "refund", "kind": "refund"}],
	"weights": [{"signal": "visit", "points": 1, "if_none": 2}],
	"rules": [{"rule": "keeps", "all_of": [{"signal": "order"}], "none_of": [{"signal": "refund"}], "points": 10000}],
	"segments": [{"segment": "keen", "position": 1, "above_score": 10003}, {"segment": "kept", "position": 2, "rules": ["keeps"]}, {"segment": "cold", "position": 3}]}');
CREATE SCHEMA shop;
CREATE TABLE shop.cust (customer text PRIMARY KEY, country text NOT NULL);
CREATE TABLE shop.address (customer text PRIMARY KEY REFERENCES shop.cust ON UPDATE CASCADE ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED, city text NOT NULL);
CREATE TABLE shop.ord (id int PRIMARY KEY, customer text NOT NULL, at timestamptz NOT NULL DEFAULT '2025-05-01', total numeric NOT NULL DEFAULT 4);
CREATE TABLE shop.line (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, ord int NOT NULL REFERENCES shop.ord ON UPDATE CASCADE ON DELETE CASCADE, customer text NOT NULL, at timestamptz NOT NULL DEFAULT '2025-05-01');
CREATE TABLE shop.click (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer text NOT NULL, at timestamptz NOT NULL DEFAULT '2025-05-01');
CREATE INDEX ON shop.line (ord);
CREATE TABLE shop.kept (LIKE shop.ord);
CREATE TABLE shop.archive (LIKE shop.ord);
SELECT leadscore.track('shop.ord', lead_id => 'customer', kind => 'order', occurred_at => 'at', value => 'total');
SELECT leadscore.track('shop.archive', lead_id => 'customer', kind => 'order', occurred_at => 'at', value => 'total');
SELECT leadscore.track('shop.line', lead_id => 'customer', kind => 'line', occurred_at => 'at');
SELECT leadscore.track('shop.click', lead_id => 'customer', kind => 'click', occurred_at => 'at', maintenance => 'deferred');
SELECT leadscore.track_profile('shop.cust', 'customer', '{country}');
SELECT leadscore.track_profile('shop.address', 'customer', '{city}');
CREATE TABLE shop.name AS SELECT unnest('{c1,c2,c3,c4,c5,c6,v1,v2,v3,v4}'::text[]) AS name;
INSERT INTO leadscore.offer (offer, model, segment, discount, valid_for, budget, unlimited, issue_on) VALUES
	('much', 'pure', 'much', 10, '7 days', 1000, false, '{event,load,time,model,profile,identity}'), ('high', 'sticky', 'high', 5, '7 days', NULL, true, '{event,load,time,model,profile,identity}');

-- what triggers do is a setting, shop.NAME OF THE TRIGGER; and how often, for what they do at commit calls them again
CREATE FUNCTION shop.react() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	command text := current_setting('shop.' || TG_NAME, true);
	times int := nullif(current_setting('shop.times', true), '');
BEGIN
	IF command <> '' AND pg_trigger_depth() <= 2 AND times > 0 THEN
		PERFORM set_config('shop.times', (times - 1)::text, false);
		EXECUTE command;
		-- (deferred triggers of rows that are then truncated fail in PostgreSQL itself)
		IF TG_OP = 'TRUNCATE' AND TG_WHEN = 'BEFORE' THEN
			SET CONSTRAINTS ALL IMMEDIATE;
			SET CONSTRAINTS ALL DEFERRED;
		END IF;
	END IF;
	RETURN CASE WHEN TG_LEVEL = 'ROW' THEN coalesce(NEW, OLD) END;
END
$$;
DO $$
DECLARE
	tracked text;
BEGIN
	FOREACH tracked IN ARRAY '{shop.ord,shop.line,shop.click,shop.cust,leadscore.event}'::text[] LOOP
		EXECUTE format('CREATE TRIGGER "Aa_before" BEFORE INSERT OR UPDATE OR DELETE ON %1$s FOR EACH STATEMENT EXECUTE FUNCTION shop.react();
			CREATE TRIGGER zz_before BEFORE INSERT OR UPDATE OR DELETE ON %1$s FOR EACH STATEMENT EXECUTE FUNCTION shop.react();
			CREATE TRIGGER zz_change BEFORE INSERT OR UPDATE OR DELETE ON %1$s FOR EACH ROW EXECUTE FUNCTION shop.react();
			CREATE TRIGGER zz_row AFTER INSERT OR UPDATE OR DELETE ON %1$s FOR EACH ROW EXECUTE FUNCTION shop.react();
			CREATE TRIGGER "Aa_after" AFTER INSERT OR UPDATE OR DELETE ON %1$s FOR EACH STATEMENT EXECUTE FUNCTION shop.react();
			CREATE TRIGGER zz_after AFTER INSERT OR UPDATE OR DELETE ON %1$s FOR EACH STATEMENT EXECUTE FUNCTION shop.react();
			CREATE TRIGGER "Aa_empty" BEFORE TRUNCATE ON %1$s FOR EACH STATEMENT EXECUTE FUNCTION shop.react();
			CREATE TRIGGER zz_empty BEFORE TRUNCATE ON %1$s FOR EACH STATEMENT EXECUTE FUNCTION shop.react();
			CREATE TRIGGER zz_emptied AFTER TRUNCATE ON %1$s FOR EACH STATEMENT EXECUTE FUNCTION shop.react();
			CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT OR UPDATE OR DELETE ON %1$s DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION shop.react()', tracked);
	END LOOP;
END
$$;

-- what may fail, such as an alias that is one already, fails alone; what may never fail does not
CREATE FUNCTION shop.try(command text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE command;
EXCEPTION WHEN OTHERS THEN
	IF SQLSTATE ~ '^(XX|40|LS)' THEN
		RAISE;
	END IF;
END
$$;
CREATE FUNCTION shop.undo(command text, after text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		EXECUTE command;
		RAISE division_by_zero;
	EXCEPTION WHEN division_by_zero THEN
		EXECUTE after;
	END;
END
$$;
CREATE PROCEDURE shop.steps(VARIADIC commands text[]) LANGUAGE plpgsql AS $$
DECLARE
	command text;
BEGIN
	FOREACH command IN ARRAY commands LOOP
		CASE command WHEN 'COMMIT' THEN COMMIT; WHEN 'ROLLBACK' THEN ROLLBACK; ELSE PERFORM shop.try(command); END CASE;
	END LOOP;
END
$$;
-- (tables of customers keep their rows, so the profiles of who is not forgotten there would no longer be what they say)
CREATE FUNCTION shop.forget_visitor(name text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	lead text := coalesce((SELECT a.lead_id FROM leadscore.lead_alias a WHERE a.alias = name), name);
BEGIN
	IF lead LIKE 'v%' AND NOT EXISTS (SELECT FROM leadscore.lead_alias a WHERE a.lead_id = lead AND a.alias LIKE 'c%') THEN
		PERFORM leadscore.forget(lead);
	END IF;
END
$$;

-- the oracle
CREATE FUNCTION shop.true_inside() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	wrong text;
BEGIN
	-- a trigger cannot know whether the statement around it is done
	IF pg_trigger_depth() > 0 THEN
		RETURN;
	END IF;
	wrong := (SELECT string_agg(format('%s has %s instead of %s', lead_id, stored, expected), ', ') FROM leadscore.verify());
	IF wrong <> '' THEN
		RAISE EXCEPTION 'inside a transaction: %', wrong USING ERRCODE = 'LS001';
	END IF;
END
$$;
CREATE VIEW shop.history AS
SELECT customer AS name, 'order' AS kind, at, total AS value FROM shop.ord UNION ALL SELECT customer, 'order', at, total FROM shop.archive UNION ALL SELECT customer, 'line', at, NULL FROM shop.line
UNION ALL SELECT customer, 'click', at, NULL FROM shop.click UNION ALL SELECT lead_id, kind, occurred_at, value FROM leadscore.event;
CREATE TABLE shop.signals AS SELECT leadscore.signals() AS document;
CREATE VIEW shop.timeline AS
SELECT coalesce(a.lead_id, h.name) AS lead_id, leadscore.timeline_agg((SELECT document FROM shop.signals), h.kind, h.at, h.value, NULL) AS timeline
FROM shop.history h LEFT JOIN leadscore.lead_alias a ON a.alias = h.name GROUP BY 1;
CREATE VIEW shop.figure AS
SELECT n.name AS lead_id, count(*) FILTER (WHERE kind = 'order') AS orders, coalesce(sum(value) FILTER (WHERE kind = 'order'), 0) AS total, count(*) FILTER (WHERE kind = 'line') AS lines,
	count(*) FILTER (WHERE kind = 'visit') AS visits, count(*) FILTER (WHERE kind = 'refund') AS refunds, count(*) FILTER (WHERE kind = 'click') AS clicks
FROM shop.name n
LEFT JOIN leadscore.lead_alias a ON a.alias = n.name
LEFT JOIN (SELECT coalesce(b.lead_id, h.name) AS lead_id, h.kind, h.value FROM shop.history h LEFT JOIN leadscore.lead_alias b ON b.alias = h.name) h ON h.lead_id = coalesce(a.lead_id, n.name)
GROUP BY n.name;
CREATE VIEW shop.profile AS
SELECT name AS lead_id,
	-- its own or, of a lead, that of its first alias
	coalesce(c.country, (SELECT o.country FROM leadscore.lead_alias a JOIN shop.cust o ON o.customer = a.alias WHERE a.lead_id = n.name ORDER BY a.alias COLLATE "C" LIMIT 1)) AS country,
	coalesce(d.city, (SELECT o.city FROM leadscore.lead_alias a JOIN shop.address o ON o.customer = a.alias WHERE a.lead_id = n.name ORDER BY a.alias COLLATE "C" LIMIT 1)) AS city
FROM shop.name n LEFT JOIN shop.cust c ON c.customer = n.name LEFT JOIN shop.address d ON d.customer = n.name;
CREATE VIEW shop.points AS
SELECT f.lead_id, m.model, CASE m.model WHEN 'pure' THEN 2 * f.orders + 0.25 * f.total + f.lines + f.visits - 1.5 * f.refunds WHEN 'sticky' THEN 2 * f.orders + f.visits + f.clicks
	WHEN 'absent' THEN CASE WHEN f.visits > 0 THEN f.visits ELSE 2 END + CASE WHEN f.orders > 0 AND f.refunds = 0 THEN 10000 ELSE 0 END
	ELSE f.visits + CASE WHEN p.country = 'DE' THEN 5 ELSE 0 END + CASE WHEN p.city = 'Berlin' THEN 3 ELSE 0 END END::float8 AS score
FROM shop.figure f LEFT JOIN leadscore.lead_alias a ON a.alias = f.lead_id JOIN shop.profile p ON p.lead_id = coalesce(a.lead_id, f.lead_id)
CROSS JOIN (VALUES ('pure'), ('sticky'), ('who'), ('absent')) AS m (model);
-- where a lead goes from a segment; a test does not last until anybody has cooled down
CREATE FUNCTION shop.next(model text, current text, score float8) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT segment FROM (VALUES ('pure', 'much', 1, 15, 0), ('pure', 'some', 2, 6, 0), ('pure', 'little', 3, 1, 0), ('sticky', 'high', 1, 10, 4), ('sticky', 'middle', 2, 5, 1e9), ('sticky', 'low', 3, -1e9, 0),
		('who', 'near', 1, 8, 0), ('who', 'far', 2, 4, 0), ('absent', 'keen', 1, 10003.5, 0), ('absent', 'kept', 2, 10000, 0), ('absent', 'cold', 3, -1e9, 0)) s (of, segment, position, least, slack)
	WHERE of = model AND score >= least - CASE WHEN segment = current THEN slack ELSE 0 END ORDER BY position LIMIT 1
$$;
CREATE TABLE shop.state (lead_id text, model text, segment text, PRIMARY KEY (lead_id, model));
-- whose names somebody has had: a lead whose alias has a voucher gets none, even if the alias is then given back
CREATE TABLE shop.been (alias text, lead_id text, PRIMARY KEY (alias, lead_id));
CREATE TABLE shop.mark AS SELECT 0::bigint AS change_id, 0::bigint AS voucher_id;

-- Each kind of problem is a statement with a kept plan: a TRUNCATE then makes few of them anew. verify() plans anew each
-- time, so it is asked in every look only; after the other transactions the timelines are compared here.
CREATE TYPE shop.scored AS (lead_id text, model text, score float8);
CREATE FUNCTION shop.problems(looked boolean) RETURNS SETOF text LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
	points CONSTANT shop.scored[] := ARRAY(SELECT (p.lead_id, p.model, p.score)::shop.scored FROM shop.points p);
	scores CONSTANT shop.scored[] := ARRAY(SELECT (l.lead_id, l.model, l.score)::shop.scored FROM leadscore.lead_score l);
BEGIN
	IF looked THEN
		RETURN QUERY SELECT format('verify(): %s has %s instead of %s', lead_id, stored, expected) FROM leadscore.verify();
	END IF;
	RETURN QUERY
	SELECT format('timeline: %s has %s instead of %s', lead_id, t.timeline, e.timeline)
	FROM leadscore.current_timeline t FULL JOIN shop.timeline e USING (lead_id) WHERE coalesce(t.timeline, '{}') OPERATOR(leadscore.<>) coalesce(e.timeline, '{}');
	RETURN QUERY
	SELECT format('score: %s on %s has %s instead of %s', p.lead_id, p.model, s, p.score)
	FROM unnest(points) p LEFT JOIN leadscore.lead_alias a ON a.alias = p.lead_id LEFT JOIN unnest(scores) l ON l.lead_id = coalesce(a.lead_id, p.lead_id) AND l.model = p.model
	CROSS JOIN LATERAL (VALUES (coalesce(l.score, CASE p.model WHEN 'absent' THEN 2 ELSE 0 END)), (CASE WHEN hashtext(p.lead_id || (SELECT change_id FROM shop.mark)) % 4 = 0 THEN leadscore.score(p.lead_id, p.model) END)) AS v (s)
	WHERE abs(s - p.score) > 1e-6;
	RETURN QUERY
	SELECT format('profile: %s has %s instead of %s and %s', p.lead_id, l.profile, p.country, p.city)
	FROM shop.profile p LEFT JOIN leadscore.current_profile l ON l.lead_id = p.lead_id
	WHERE coalesce(l.profile, '{}') <> jsonb_strip_nulls(jsonb_build_object('country', p.country, 'city', p.city));
	RETURN QUERY
	SELECT format('change %s: %s on %s from %s to %s at %s: %s', c.change_id, c.lead_id, c.model, coalesce(c.from_segment, 'none'), coalesce(c.to_segment, 'none'), c.score, w.what)
	FROM (SELECT c.*, row_number() OVER (PARTITION BY c.lead_id, c.model ORDER BY c.change_id) AS n, lag(c.to_segment) OVER (PARTITION BY c.lead_id, c.model ORDER BY c.change_id) AS before,
			count(*) OVER (PARTITION BY c.lead_id, c.model, c.tick) AS times FROM leadscore.segment_change c WHERE c.change_id > (SELECT change_id FROM shop.mark)) c
	LEFT JOIN shop.state s ON s.lead_id = c.lead_id AND s.model = c.model
	LEFT JOIN leadscore.offer o ON o.model = c.model AND o.segment = c.to_segment
	CROSS JOIN LATERAL (VALUES (c.from_segment IS NOT DISTINCT FROM c.to_segment, 'no change'), (c.times > 1, 'one of several in a transaction'),
		-- (the log of who has been forgotten begins anew)
		(CASE WHEN c.n > 1 THEN c.before WHEN EXISTS (SELECT FROM leadscore.segment_change d WHERE d.lead_id = c.lead_id AND d.model = c.model AND d.change_id < c.change_id) THEN s.segment END
			IS DISTINCT FROM c.from_segment, 'it was elsewhere'),
		(c.score IS NOT NULL AND shop.next(c.model, c.from_segment, c.score) IS DISTINCT FROM c.to_segment, 'that is not where the score leads'),
		(o.offer IS NOT NULL AND NOT EXISTS (SELECT FROM leadscore.voucher v LEFT JOIN shop.been a ON a.alias = v.lead_id WHERE v.offer = o.offer AND c.lead_id IN (v.lead_id, a.lead_id))
			-- (who was forgotten gets none)
			AND NOT EXISTS (SELECT FROM leadscore_internal.tombstone f CROSS JOIN leadscore_internal.tombstone_salt t LEFT JOIN shop.been a ON a.lead_id = c.lead_id WHERE f.key IN (leadscore_internal.voucher_key(t.salt, c.lead_id), leadscore_internal.voucher_key(t.salt, a.alias))), 'no voucher')) AS w (wrong, what)
	WHERE w.wrong;
	RETURN QUERY
	SELECT format('voucher: %s of %s without a change', v.offer, v.lead_id)
	FROM leadscore.voucher v JOIN leadscore.offer o ON o.offer = v.offer
	WHERE v.voucher_id > (SELECT voucher_id FROM shop.mark) AND v.lead_id IS NOT NULL
	AND NOT EXISTS (SELECT FROM leadscore.segment_change c WHERE c.change_id > (SELECT change_id FROM shop.mark) AND c.lead_id = v.lead_id AND c.model = o.model AND c.to_segment = o.segment);
	RETURN QUERY
	SELECT format('state: %s on %s is in %s, but its last change led to %s', coalesce(s.lead_id, c.lead_id), coalesce(s.model, c.model), coalesce(s.segment, 'none'), coalesce(c.to_segment, 'none'))
	FROM (SELECT DISTINCT ON (lead_id, model) lead_id, model, to_segment FROM leadscore.segment_change ORDER BY lead_id, model, change_id DESC) c
	FULL JOIN leadscore.lead_state s ON s.lead_id = c.lead_id AND s.model = c.model
	WHERE s.segment IS DISTINCT FROM c.to_segment;
	RETURN QUERY
	SELECT format('state: %s on %s is in %s at %s', p.lead_id, p.model, coalesce(s.segment, 'none'), p.score)
	FROM unnest(points) p LEFT JOIN leadscore.lead_state s ON s.lead_id = p.lead_id AND s.model = p.model
	WHERE (looked OR p.model = 'pure'
		-- (a lead that has a profile or clicks alone is seen by the next look)
		OR p.model = 'absent' AND EXISTS (SELECT FROM shop.figure f WHERE f.lead_id = p.lead_id AND f.orders + f.lines + f.visits + f.refunds > 0)) AND s.segment IS DISTINCT FROM
		CASE WHEN EXISTS (SELECT FROM unnest(scores) l WHERE l.lead_id = p.lead_id) THEN shop.next(p.model, s.segment, p.score) END;
	RETURN QUERY
	SELECT format('budget: %s vouchers and %s slots', v.n, s.n)
	FROM (SELECT count(*) AS n FROM leadscore.voucher WHERE offer = 'much' AND code IS NOT NULL) v, (SELECT count(*) AS n FROM leadscore_internal.offer_slot WHERE offer = 'much') s WHERE v.n + s.n <> 1000;
END
$$;
CREATE FUNCTION shop.check(n int, looked boolean DEFAULT false) RETURNS void LANGUAGE plpgsql SET jit = off AS $$
DECLARE
	problem text;
BEGIN
	INSERT INTO shop.been SELECT alias, lead_id FROM leadscore.lead_alias ON CONFLICT DO NOTHING;
	problem := (SELECT string_agg(p, '; ') FROM (SELECT p FROM shop.problems(looked) p LIMIT 4) x);
	IF problem <> '' THEN
		RAISE EXCEPTION 'after transaction %: %', n, problem USING ERRCODE = 'LS001';
	END IF;
	DELETE FROM shop.state;
	INSERT INTO shop.state SELECT lead_id, model, segment FROM leadscore.lead_state;
	UPDATE shop.mark SET change_id = (SELECT coalesce(max(c.change_id), 0) FROM leadscore.segment_change c), voucher_id = (SELECT coalesce(max(v.voucher_id), 0) FROM leadscore.voucher v);
END
$$;
});
for my $watched (qw(pure sticky who absent))
{
	$node->safe_psql('shop', "CALL leadscore.watch('$watched', notify => false)");
}

# ---------------------------------------------------------------- statements

my $files = $PostgreSQL::Test::Utils::tmp_check;
append_to_file("$files/orders_$_.csv", join '', map { my $n = $_; "$n,c" . ($n % 5 + 1) . ",2025-05-0$n 00:00:00+00,$n\n" } ($_ == 1 ? 1 .. 6 : 4 .. 9)) for 1, 2;
append_to_file("$files/events.csv", join '', map { "c$_,visit,2025-05-0$_ 00:00:00+00\n" } 1 .. 6);
append_to_file("$files/clicks.csv", "c1\nv1\nv1\nc3\n");

sub one_of { return $_[ rand @_ ]; }
sub chance { return rand() < $_[0]; }
sub name { return one_of(qw(c1 c2 c3 c4 c5 c6 v1 v2 v3 v4)); }
sub customer { return 'c' . int(1 + rand 6); }
sub id { return int(1 + rand 12); }
sub at { return sprintf "'2025-0%d-0%dT0%d:00Z'", 1 + rand 3, 1 + rand 3, rand 3; }
sub quoted { my ($text) = @_; $text =~ s/'/''/g; return "'$text'"; }

# one of some weighted ways
sub pick
{
	my @ways = @_;
	my $sum = 0;
	$sum += $_->[0] for @ways;
	my $at = rand $sum;
	for (@ways)
	{
		return $_->[1]->() if ($at -= $_->[0]) < 0;
	}
	return $ways[-1][1]->();
}

# a call of ours that changes names; it may be refused
sub identity
{
	my $call = chance(0.5) ? "leadscore.identify('" . name() . "', '" . name() . "')" : "leadscore.unidentify('" . name() . "')";
	return chance(0.6) ? 'shop.try(' . quoted("SELECT $call") . ')' : $call;
}
sub in_statement { return chance(0.7) ? identity() : "leadscore.score('" . name() . "', 'pure')"; }
sub returning { return chance(0.25) ? ' RETURNING ' . in_statement() : ''; }
sub forget { return chance(0.5) ? "SELECT leadscore.forget('" . name() . "', tracked => true)" : "SELECT shop.forget_visitor('v" . int(1 + rand 4) . "')"; }

sub order_rows { return join ', ', map { '(' . id() . ", '" . name() . "', " . at() . ', ' . int(rand 9) . ')' } 1 .. 1 + rand 3; }
sub event_rows { return join ', ', map { "('" . name() . "', '" . one_of(qw(visit visit refund)) . "', " . at() . ')' } 1 .. 1 + rand 3; }

# One statement that writes, as a plpgsql function could execute it.
sub write_statement
{
	return pick(
		[ 8, sub { 'INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ' . event_rows() . returning() } ],
		[ 3, sub { "DELETE FROM leadscore.event WHERE lead_id = '" . name() . "'" . returning() } ],
		[ 2, sub { "UPDATE leadscore.event SET lead_id = '" . name() . "', occurred_at = " . at() . " WHERE lead_id = '" . name() . "'" . returning() } ],
		[ 4, sub { 'INSERT INTO shop.ord VALUES ' . order_rows() . ' ON CONFLICT (id) DO NOTHING' . returning() } ],
		[ 4, sub { 'INSERT INTO shop.ord VALUES (' . id() . ", '" . name() . "', " . at() . ', 3) ON CONFLICT (id) DO UPDATE SET customer = excluded.customer, total = shop.ord.total + 1' . returning() } ],
		[ 3, sub { "UPDATE shop.ord SET customer = '" . name() . "', total = total + 1 WHERE id < " . id() . returning() } ],
		[ 2, sub { 'UPDATE shop.ord SET id = id + 20 WHERE id = ' . id() . returning() } ],
		[ 3, sub { 'DELETE FROM shop.ord WHERE id % 5 = ' . int(rand 5) . returning() } ],
		[ 3, sub { 'INSERT INTO shop.line (ord, customer, at) SELECT id, ' . one_of('customer', quoted(name())) . ', at FROM shop.ord WHERE id < ' . id() . returning() } ],
		[ 1, sub { "DELETE FROM shop.line WHERE customer = '" . name() . "'" . returning() } ],
		[ 2, sub { 'MERGE INTO shop.ord o USING (VALUES (' . id() . ', ' . quoted(name()) . '), (' . (20 + id()) . ', ' . quoted(name()) . ')) v (id, customer) ON o.id = v.id'
			  . ' WHEN MATCHED AND o.total > 5 THEN DELETE WHEN MATCHED THEN UPDATE SET customer = v.customer, total = total + 2 WHEN NOT MATCHED THEN INSERT VALUES (v.id, v.customer)' } ],
		[ 2, sub { 'WITH d AS (DELETE FROM shop.ord WHERE id < ' . id() . ' RETURNING *), i AS (INSERT INTO shop.archive SELECT * FROM d RETURNING customer) SELECT ' . in_statement() . ' FROM i' } ],
		[ 2, sub { 'WITH d AS (DELETE FROM leadscore.event WHERE lead_id = ' . quoted(name()) . ' RETURNING *), u AS (UPDATE shop.ord SET total = total + 1 WHERE id < ' . id() . ' RETURNING id)'
			  . ' INSERT INTO shop.click (customer) SELECT ' . quoted(name()) . ' FROM d UNION ALL SELECT ' . quoted(name()) . ' FROM u' } ],
		[ 1, sub { 'WITH d AS (DELETE FROM shop.archive RETURNING id, customer) SELECT ' . in_statement() . ' FROM d LIMIT 2' } ],
		[ 3, sub { 'INSERT INTO shop.click (customer, at) VALUES (' . quoted(name()) . ', ' . at() . '), (' . quoted(name()) . ', ' . at() . ')' . returning() } ],
		[ 1, sub { 'UPDATE shop.click SET customer = ' . quoted(name()) . ' WHERE n % 3 = 0' . returning() } ],
		[ 2, sub { 'DELETE FROM shop.click WHERE n % 2 = 0' . returning() } ],
		[ 3, sub { 'INSERT INTO shop.cust VALUES (' . quoted(customer()) . ', ' . quoted(one_of(qw(DE FR))) . ') ON CONFLICT (customer) DO UPDATE SET country = excluded.country' . returning() } ],
		[ 2, sub { 'INSERT INTO shop.address SELECT customer, ' . quoted(one_of(qw(Berlin Rome))) . " FROM shop.cust WHERE customer < 'c" . int(1 + rand 6) . "' ON CONFLICT (customer) DO UPDATE SET city = excluded.city" } ],
		[ 1, sub { 'INSERT INTO shop.address VALUES (' . quoted(customer()) . ", 'Berlin') ON CONFLICT DO NOTHING" } ],
		[ 1, sub { 'UPDATE shop.cust SET customer = ' . quoted(customer()) . ' WHERE customer = ' . quoted(customer()) } ],
		[ 1, sub { 'DELETE FROM shop.cust WHERE customer = ' . quoted(customer()) . returning() } ],
		[ 1, sub { 'TRUNCATE ' . one_of('shop.ord CASCADE', 'shop.click', 'leadscore.event', 'shop.archive', 'shop.address', 'shop.ord, shop.line, shop.click') } ],
		[ 2, sub { one_of("COPY shop.ord FROM '$files/orders_" . one_of(1, 2) . ".csv' (FORMAT csv)", "COPY leadscore.event (lead_id, kind, occurred_at) FROM '$files/events.csv' (FORMAT csv)",
				"COPY shop.click (customer) FROM '$files/clicks.csv'") } ]);
}

# ... or that calls us
sub call_statement
{
	return pick(
		[ 8, sub { 'SELECT ' . identity() } ],
		[ 1, sub { 'SELECT ' . identity() . ', ' . identity() . ", leadscore.score('" . name() . "', 'sticky')" } ],
		[ 2, sub { 'SELECT leadscore.fold(' . one_of('', '', 2) . ')' } ],
		[ 1, sub { forget() } ],
		[ 0.5, sub { one_of('CALL leadscore.rebuild()', q(CALL leadscore.rebuild('{c1,v1,c2}'))) } ],
		[ 2, sub { 'SELECT shop.true_inside()' } ]);
}
sub any_statement { return chance(0.75) ? write_statement() : call_statement(); }
sub nested { return 'SELECT shop.undo(' . quoted(any_statement()) . ', ' . quoted(write_statement()) . ')'; }
sub reaction
{
	my ($set) = @_;
	my $name = one_of(qw(Aa_before zz_before zz_change zz_row Aa_after zz_after Aa_after zz_after Aa_empty zz_empty zz_emptied at_commit at_commit));
	my $command = pick([ 3, sub { 'SELECT ' . identity() } ], [ 3, \&write_statement ], [ 1, \&forget ], [ 1, sub { "SELECT leadscore.score('" . name() . "', 'pure'), (SELECT count(*) FROM leadscore.verify())" } ],
		[ 1, sub { 'SELECT leadscore.fold()' } ], [ 0.25, sub { 'CALL leadscore.rebuild()' } ], [ 1, sub { 'WITH d AS (DELETE FROM shop.ord RETURNING *) INSERT INTO shop.archive SELECT * FROM d' } ], [ 1, \&nested ]);
	$command = 'SELECT shop.try(' . quoted($command) . ')' if chance(0.5);
	return "$set shop.\"$name\" = " . quoted($command);
}

# A transaction as a list of statements; each may fail, and the rest then goes on as psql has it.
# (at SERIALIZABLE transitions are left to the next look)
my @levels = ('READ COMMITTED', 'READ COMMITTED', 'READ COMMITTED', 'REPEATABLE READ');
sub block
{
	my @statements = ('BEGIN ISOLATION LEVEL ' . one_of(@levels));
	my ($savepoints, $cursor) = (0, 0);
	push @statements, 'SET shop.times = 10', map { reaction('SET LOCAL') } 1 .. 1 + rand 2 if chance(0.5);
	for (1 .. 1 + rand 6)
	{
		push @statements, pick(
			[ 16, \&any_statement ],
			[ 2, \&nested ],
			[ 2, sub { 'SAVEPOINT s' . ++$savepoints } ],
			[ $savepoints ? 2 : 0, sub { 'ROLLBACK TO s' . int(1 + rand $savepoints) } ],
			[ $savepoints ? 1 : 0, sub { 'RELEASE s' . $savepoints-- } ],
			[ 1, sub { 'SET CONSTRAINTS ALL ' . one_of(qw(IMMEDIATE DEFERRED)) } ],
			[ $cursor ? 0 : 1, sub { $cursor = 1; 'DECLARE c CURSOR ' . one_of('', 'WITH HOLD ') . 'FOR ' . one_of('SELECT * FROM shop.ord', 'SELECT ' . identity() . ' FROM shop.name', 'SELECT leadscore.score(name, $$pure$$) FROM shop.name') } ],
			[ $cursor ? 2 : 0, sub { one_of('FETCH 2 FROM c', 'MOVE ALL IN c') } ],
			[ 1, sub { ('DELETE FROM shop.kept', 'INSERT INTO shop.kept TABLE shop.ord', one_of('DELETE FROM shop.ord', 'TRUNCATE shop.ord CASCADE'), 'INSERT INTO shop.ord TABLE shop.kept') } ],
			[ 1, sub { 'SELECT shop.true_inside()' } ]);
	}
	push @statements, 'CLOSE ALL' if $cursor;
	return (@statements, pick([ 16, sub { 'COMMIT' } ], [ 2, sub { 'ROLLBACK' } ],
		[ 2, sub { ("PREPARE TRANSACTION 'p'", one_of("COMMIT PREPARED 'p'", "COMMIT PREPARED 'p'", "ROLLBACK PREPARED 'p'"), 'CALL leadscore.see_changes()') } ]));
}
sub transaction
{
	my @statements = pick(
		[ 11, \&block ],
		[ 6, sub { map { any_statement() } 1 .. 1 + rand 2 } ],
		[ 1, sub { ('SET shop.times = 10', reaction('SET'), any_statement(), write_statement(), 'SET shop.times = 0') } ],
		[ 2, sub { 'CALL shop.steps(' . join(', ', map { quoted($_) } map { (any_statement(), chance(0.6) ? one_of('COMMIT', 'COMMIT', 'ROLLBACK') : ()) } 1 .. 3) . ')' } ],
		[ 1, \&nested ],
		[ 1, sub { one_of('SELECT leadscore.refresh_segments()', 'CALL leadscore.see_changes()') } ]);
	unshift @statements, '\set ON_ERROR_ROLLBACK ' . one_of('on', 'on', 'off');
	return \@statements;
}

# ---------------------------------------------------------------- running them

# Run transactions in a database of their own; returns what went wrong, and the number of transactions that went right.
sub run_batch
{
	my ($list, $database) = @_;
	my $script = "\\set VERBOSITY verbose\n\\o /dev/null\nSET client_min_messages = warning;\nSET extra_float_digits = 0;\n";

	for my $n (0 .. $#$list)
	{
		my $look = $n % 8 == 7 ? "SELECT leadscore.fold();\nCALL leadscore.see_changes();\nSELECT shop.check($n, true);\n" : '';
		$script .= "\\echo transaction $n\n" . join('', map { /^\\/ ? "$_\n" : "$_;\n" } @{ $list->[$n] }) . "\\set ON_ERROR_STOP on\nSELECT shop.check($n);\n$look\\set ON_ERROR_STOP off\n";
	}
	$node->safe_psql('postgres', "DROP DATABASE IF EXISTS $database");
	$node->safe_psql('postgres', "CREATE DATABASE $database TEMPLATE shop");
	my ($out, $error) = ('', '');
	my $file = "$files/$database.sql";
	unlink $file;
	append_to_file($file, $script);
	IPC::Run::run([ 'psql', '-X', '-q', '-h', $node->host, '-p', $node->port, '-f', $file, $database ], '<', \undef, '>', \$out, '2>', \$error);
	my $done = $out =~ /.*^transaction (\d+)$/ms ? $1 : -1;

	# what no transaction of one session may end in: an internal error, a conflict with itself, a crash, a contradiction
	my ($wrong) = $error =~ /^(?:psql:\S+ )?((?:ERROR|FATAL|PANIC):  (?:XX|40|57|LS).*|.*server closed the connection.*)/m;
	$wrong = "only $done transactions were run" if !$wrong && $done != $#$list;
	if ($wrong && $wrong !~ /after transaction/)
	{
		my ($line) = $error =~ /:(\d+): \Q$wrong\E/;
		$done = grep { /^\\echo transaction/ } (split /\n/, $script)[ 0 .. $line - 1 ] if $line;
		$done-- if $line;
	}
	if ($wrong)
	{
		$node->psql($database, "ROLLBACK PREPARED 'p'");		# the batch may have ended in the middle
	}
	else
	{
		$node->safe_psql('postgres', "DROP DATABASE $database");
	}
	return ($wrong, $done);
}

# The kind of a problem, without its figures and names.
sub kind_of { my ($wrong) = @_; my ($kind) = $wrong =~ /(inside a transaction|verify\(\)|timeline:|score:|profile|one of several|elsewhere|not where|no change|no voucher|without a change|last change|is in|budget|ERROR:  \w+)/; return $kind // 'other'; }

# Leave out what is not needed: whole transactions, then statements.
sub minimise
{
	my ($list, $wrong) = @_;
	my $kind = kind_of($wrong);
	my $still = sub { my ($w) = run_batch($_[0], 'smaller'); return $w && kind_of($w) eq $kind; };

	for (my $size = int(@$list / 2) || 1; $size >= 1; $size = int($size / 2))
	{
		for (my $i = $#$list - $size; $i >= 0; $i -= $size)
		{
			my @fewer = @$list;
			splice @fewer, $i, $size;
			$list = \@fewer if $still->(\@fewer);
		}
	}
	for my $n (0 .. $#$list)
	{
		for (my $i = $#{ $list->[$n] }; $i >= 0; $i--)
		{
			next if $list->[$n][$i] =~ /^(BEGIN|COMMIT|PREPARE)/;
			my @fewer = map { [@$_] } @$list;
			splice @{ $fewer[$n] }, $i, 1;
			$list = \@fewer if $still->(\@fewer);
		}
	}
	return $list;
}

my ($failures, $count) = (0, 0);
for (my $b = 0; $b * $batch < $transactions; $b++)
{
	srand($seed + $b);
	my @list = map { transaction() } 1 .. ($transactions - $b * $batch < $batch ? $transactions - $b * $batch : $batch);
	my ($wrong, $done) = run_batch(\@list, 'batch');

	$count += @list;
	next unless $wrong;
	fail("SEED=" . ($seed + $b) . " TRANSACTIONS=$batch: $wrong");
	my @shown = ($list[$done]);
	if ($ENV{MINIMISE})
	{
		@shown = @{ minimise([ @list[ 0 .. $done ] ], $wrong) };
		diag((run_batch(\@shown, 'smaller'))[0]);
	}
	diag(join "\n", map { (map { /^\\/ ? $_ : "$_;" } @$_), '' } @shown);
	last if ++$failures == 3;
}
is($failures, 0, "$count transactions, and the oracle agrees after each");
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/, 'the server never crashed');
$node->stop;

done_testing();
